"""Stripe's lists, which run from new to old, and its search, which lags behind."""

import itertools
import operator
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from devtools.sandbox_psp.clock import iso, now_ms
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.stripe import models, serializers
from devtools.sandbox_psp.emulators.stripe.errors import missing, unacceptable
from devtools.sandbox_psp.emulators.stripe.models import Intent
from devtools.sandbox_psp.emulators.stripe.requests import Created, ListParams, SearchParams
from devtools.sandbox_psp.emulators.stripe.serializers import View
from devtools.sandbox_psp.models import Authorization, Record

R = TypeVar("R", bound=Record)

SEARCH_LAG_MS = 1500
_CLAUSE = re.compile(r"metadata\[(['\"])(?P<name>[^'\"]+)\1\]:(['\"])(?P<text>.*)\3")
_BOUNDS = {"gt": ">=", "gte": ">=", "lt": "<", "lte": "<"}
_COMPARE = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}
_OFFSETS = {"gt": 1, "gte": 0, "lt": 0, "lte": 1}


def page(
    ctx: Context,
    account: str,
    wanted: ListParams,
    kinds: Sequence[str],
    show: Callable[[str, str], View | None],
    where: str = "",
    *values: Any,
) -> View:
    """One part of a list of the engine's objects; what `show` makes of none is left out."""
    limits, bounds = _bounds(wanted.created)
    marks = ", ".join("?" for _ in kinds)
    rows = ctx.db.all(
        f"SELECT kind, body FROM objects WHERE account = ? AND kind IN ({marks})"  # noqa: S608
        f"{limits}{where} ORDER BY number DESC",
        account,
        *kinds,
        *bounds,
        *values,
    )
    shown = (show(row["kind"], row["body"]) for row in rows)
    return cut(wanted, (view for view in shown if view is not None))


def cut(wanted: ListParams, found: Iterable[View]) -> View:
    """The part of a list that was asked for; StripeError 404 for a place that is not in it."""
    if wanted.ending_before is not None:
        newer = _until(found, wanted.ending_before, "ending_before")
        part, more = newer[-wanted.limit :], len(newer) > wanted.limit
    else:
        left = iter(found)
        if wanted.starting_after is not None:
            _until(left, wanted.starting_after, "starting_after")
        # No more than needed is made: a list may be long.
        part = list(itertools.islice(left, wanted.limit + 1))
        part, more = part[: wanted.limit], len(part) > wanted.limit
    return serializers.expanded({"object": "list", "has_more": more, "data": part}, wanted.expand)


def _until(found: Iterable[View], id: str, param: str) -> list[View]:
    passed: list[View] = []
    for view in found:
        if view["id"] == id:
            return passed
        passed.append(view)
    raise missing("object", id, param)


def search(ctx: Context, account: str, wanted: SearchParams) -> View:
    """PaymentIntents by metadata; the newest are not found yet."""
    clause = _CLAUSE.fullmatch(wanted.query)
    if clause is None or wanted.page is not None:
        raise unacceptable("This search is not understood.", param="query")
    text = re.sub(r"\\(.)", r"\1", clause["text"])
    rows = ctx.db.all(
        "SELECT kind, body FROM objects WHERE account = ?"
        " AND kind IN ('stripe_intent', 'authorization')"
        " AND json_extract(body, '$.created_at') < ? AND body LIKE ? ORDER BY number DESC",
        account,
        iso(now_ms() - SEARCH_LAG_MS),
        f"%{text}%",
    )
    made = (of_row(ctx, row["kind"], row["body"]) for row in rows)
    found = [one for one in made if one and one.metadata.get(clause["name"]) == text]
    data = [serializers.intent(ctx, one) for one in found[: wanted.limit]]
    listed = {"object": "search_result", "has_more": False, "data": data}
    return serializers.expanded(listed, wanted.expand)


def of_row(ctx: Context, kind: str, body: str) -> Intent | None:
    """A PaymentIntent, but one that Checkout made and that was kept since only once."""
    if kind == Intent.kind:
        return Intent.model_validate_json(body)
    held = Authorization.model_validate_json(body)
    kept = models.look(ctx, Intent, held.account, models.turned(held.id, "pi"))
    return None if kept else models.of_authorization(ctx, held)


def within(created: Created, at: int) -> bool:
    """Whether a unix time is in a span."""
    given = {name: bound for name, bound in created.model_dump().items() if bound is not None}
    return all(_COMPARE[name](at, bound) for name, bound in given.items())


def _bounds(created: Created) -> tuple[str, list[str]]:
    given = {name: at for name, at in created.model_dump().items() if at is not None}
    limits = "".join(f" AND json_extract(body, '$.created_at') {_BOUNDS[name]} ?" for name in given)
    moments = (datetime.fromtimestamp(at + _OFFSETS[name], UTC) for name, at in given.items())
    return limits, [iso(int(moment.timestamp() * 1000)) for moment in moments]
