"""Paged lists, newest first, and the search, whose index lags behind."""

import itertools
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from devtools.sandbox_psp.clock import now_ms, to_iso
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.stripe import models, serializers
from devtools.sandbox_psp.emulators.stripe.errors import invalid_request, resource_missing
from devtools.sandbox_psp.emulators.stripe.models import PaymentIntent
from devtools.sandbox_psp.emulators.stripe.requests import CreatedRange, ListParams, SearchParams
from devtools.sandbox_psp.emulators.stripe.serializers import Json
from devtools.sandbox_psp.models import Authorization, Record

R = TypeVar("R", bound=Record)

SEARCH_LAG_MS = 1500
_SEARCH_CLAUSE = re.compile(r"metadata\[(['\"])(?P<name>[^'\"]+)\1\]:(['\"])(?P<text>.*)\3")
_SQL_OPERATORS = {"gt": ">=", "gte": ">=", "lt": "<", "lte": "<"}
# A mandate has no time of its own in the engine.
_CREATED_AT = (
    "coalesce(json_extract(body, '$.created_at'), json_extract(body, '$.extra.created_at'))"
)
_COMPARISONS = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}
_SECOND_OFFSETS = {"gt": 1, "gte": 0, "lt": 0, "lte": 1}


def list_page(
    ctx: Context,
    account: str,
    params: ListParams,
    kinds: Sequence[str],
    serialize_row: Callable[[str, str], Json | None],
    condition: str = "",
    *values: Any,
) -> Json:
    """Return a page of the engine's records; rows that `serialize_row` maps to None are omitted."""
    limits, bounds = _time_conditions(params.created)
    placeholders = ", ".join("?" for _ in kinds)
    rows = ctx.db.all(
        f"SELECT kind, body FROM objects WHERE account = ? AND kind IN ({placeholders})"  # noqa: S608
        f"{limits}{condition} ORDER BY number DESC",
        account,
        *kinds,
        *bounds,
        *values,
    )
    items = (serialize_row(row["kind"], row["body"]) for row in rows)
    return slice_page(params, (item for item in items if item is not None))


def slice_page(params: ListParams, items: Iterable[Json]) -> Json:
    """Return the requested page of a list; StripeError 404 for a cursor that is not in it."""
    if params.ending_before is not None:
        newer = _take_until(items, params.ending_before, "ending_before")
        page, has_more = newer[-params.limit :], len(newer) > params.limit
    else:
        remaining = iter(items)
        if params.starting_after is not None:
            _take_until(remaining, params.starting_after, "starting_after")
        # Serialize no more than needed: a list may be long.
        page = list(itertools.islice(remaining, params.limit + 1))
        page, has_more = page[: params.limit], len(page) > params.limit
    return serializers.expand_references(
        {"object": "list", "has_more": has_more, "data": page}, params.expand
    )


def _take_until(items: Iterable[Json], id: str, param: str) -> list[Json]:
    newer: list[Json] = []
    for item in items:
        if item["id"] == id:
            return newer
        newer.append(item)
    raise resource_missing("object", id, param)


def search_intents(ctx: Context, account: str, params: SearchParams) -> Json:
    """Return PaymentIntents by metadata; the newest are not found yet."""
    clause = _SEARCH_CLAUSE.fullmatch(params.query)
    if clause is None or params.page is not None:
        raise invalid_request("This search is not understood.", param="query")
    text = re.sub(r"\\(.)", r"\1", clause["text"])
    rows = ctx.db.all(
        "SELECT kind, body FROM objects WHERE account = ?"
        " AND kind IN ('stripe_intent', 'authorization')"
        " AND json_extract(body, '$.created_at') < ? AND body LIKE ? ORDER BY number DESC",
        account,
        to_iso(now_ms() - SEARCH_LAG_MS),
        f"%{text}%",
    )
    intents = (intent_from_row(ctx, row["kind"], row["body"]) for row in rows)
    matching = [
        intent for intent in intents if intent and intent.metadata.get(clause["name"]) == text
    ]
    data = [serializers.serialize_intent(ctx, intent) for intent in matching[: params.limit]]
    result = {"object": "search_result", "has_more": False, "data": data}
    return serializers.expand_references(result, params.expand)


def intent_from_row(ctx: Context, kind: str, body: str) -> PaymentIntent | None:
    """Return a row's PaymentIntent; None for an authorization whose intent is stored itself."""
    if kind == PaymentIntent.kind:
        return PaymentIntent.model_validate_json(body)
    authorization = Authorization.model_validate_json(body)
    stored = models.find(
        ctx, PaymentIntent, authorization.account, models.with_prefix(authorization.id, "pi")
    )
    return None if stored else models.intent_from_authorization(ctx, authorization)


def is_within(created: CreatedRange, at: int) -> bool:
    """Return whether a unix time is in a range."""
    bounds = {name: bound for name, bound in created.model_dump().items() if bound is not None}
    return all(_COMPARISONS[name](at, bound) for name, bound in bounds.items())


def _time_conditions(created: CreatedRange) -> tuple[str, list[str]]:
    bounds = {name: at for name, at in created.model_dump().items() if at is not None}
    conditions = "".join(f" AND {_CREATED_AT} {_SQL_OPERATORS[name]} ?" for name in bounds)
    times = (datetime.fromtimestamp(at + _SECOND_OFFSETS[name], UTC) for name, at in bounds.items())
    return conditions, [to_iso(int(time.timestamp() * 1000)) for time in times]
