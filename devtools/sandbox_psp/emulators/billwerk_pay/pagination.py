"""Paged lists: newest first, with time ranges in the account's local time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import Request, Response

from devtools.sandbox_psp import repository
from devtools.sandbox_psp.clock import to_iso, to_ms
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.billwerk_pay import models, serializers
from devtools.sandbox_psp.emulators.billwerk_pay.auth import Caller, reject_unknown_parameters
from devtools.sandbox_psp.errors import invalid_request
from devtools.sandbox_psp.models import Authorization, Charge, Refund

TIMEZONE = "Europe/Copenhagen"
"""Not UTC, so that tests detect a client that ignores it."""
Json = dict[str, Any]
_MONTH = timedelta(days=30)
_COMMON_PARAMETERS = ("range", "from", "to", "size", "next_page_token")


@dataclass(frozen=True)
class ListRequest:
    """A requested list; times are UTC in the engine's format."""

    ctx: Context
    account: str
    since: str
    until: str
    range: str


async def list_page(
    caller: Caller,
    request: Request,
    find_items: Callable[[ListRequest], list[Json]],
    ranges: tuple[str, ...],
    filters: tuple[str, ...],
) -> Response:
    reject_unknown_parameters(request, *_COMMON_PARAMETERS, *filters)
    query = request.query_params
    until = _parse_local_time(query.get("to")) or datetime.now(UTC) + timedelta(seconds=1)
    since = _parse_local_time(query.get("from")) or until - _MONTH
    sort_field = query.get("range", "created")
    size, token = query.get("size", "20"), query.get("next_page_token", "0")
    if (
        sort_field not in ranges
        or not size.isdigit()
        or not 10 <= int(size) <= 100
        or not token.isdigit()
    ):
        raise invalid_request("parameter_invalid", "range, size or next_page_token")
    list_request = ListRequest(
        caller.ctx, caller.account.id, to_iso(to_ms(since)), to_iso(to_ms(until)), sort_field
    )
    filter_values = {name: query.getlist(name) for name in filters if name in query}

    def load() -> Json:
        items = [item for item in find_items(list_request) if _matches_filters(item, filter_values)]
        items.sort(key=lambda item: str(item[sort_field]), reverse=True)
        start, end = int(token), int(token) + int(size)
        header = {"size": int(size), "count": len(items[start:end]), "range": sort_field}
        next_page = {"next_page_token": str(end)} if len(items) > end else {}
        bounds = {"from": _format_local_time(since), "to": _format_local_time(until)}
        return {**header, **bounds, **next_page, "content": items[start:end]}

    return await caller.get(load)


def _matches_filters(item: Json, filter_values: Mapping[str, list[str]]) -> bool:
    return all(item.get(name) in values for name, values in filter_values.items())


def _parse_local_time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        local = datetime.fromisoformat(text)
    except ValueError:
        raise invalid_request("parameter_invalid", "from, to: not a date") from None
    if local.tzinfo is not None:
        raise invalid_request("parameter_invalid", "from, to: local time has no offset")
    return local.replace(tzinfo=ZoneInfo(TIMEZONE)).astimezone(UTC)


def _format_local_time(at: datetime) -> str:
    return at.astimezone(ZoneInfo(TIMEZONE)).replace(tzinfo=None).isoformat(timespec="seconds")


def _load_records(
    list_request: ListRequest, cls: type[repository.R], *, any_time: bool = False
) -> list[repository.R]:
    rows = list_request.ctx.db.all(
        "SELECT body FROM objects WHERE account = ? AND kind = ?"
        " AND json_extract(body, '$.created_at') >= ? AND json_extract(body, '$.created_at') < ?"
        " ORDER BY number DESC",
        list_request.account,
        cls.kind,
        "" if any_time else list_request.since,
        list_request.until,
    )
    return [cls.model_validate_json(row["body"]) for row in rows]


def _is_in_range(list_request: ListRequest, at: str) -> bool:
    return list_request.since <= at < list_request.until


def find_transactions(list_request: ListRequest) -> list[Json]:
    ctx = list_request.ctx
    return [
        *(
            serializers.serialize_authorization(record)
            for record in _load_records(list_request, Authorization)
        ),
        *(
            serializers.serialize_settle(ctx, record)
            for record in _load_records(list_request, Charge)
        ),
        *(
            serializers.serialize_refund_transaction(ctx, record)
            for record in _load_records(list_request, Refund)
        ),
    ]


def find_charges(list_request: ListRequest) -> list[Json]:
    any_time = list_request.range == "settled"
    items = (
        serializers.serialize_charge(list_request.ctx, item)
        for item in _load_records(list_request, models.Invoice, any_time=any_time)
    )
    return [
        item for item in items if _is_in_range(list_request, item.get(list_request.range) or "")
    ]


def find_credit_notes(list_request: ListRequest) -> list[Json]:
    refunds = _load_records(list_request, Refund)
    return [
        serializers.serialize_credit_note(list_request.ctx, refund)
        for refund in refunds
        if refund.status == "succeeded"
    ]


def find_disputes(list_request: ListRequest) -> list[Json]:
    charges: list[Charge] = _load_records(list_request, Charge, any_time=True)
    disputes = [
        serializers.serialize_dispute(list_request.ctx, charge, chargeback)
        for charge in charges
        for chargeback in charge.chargebacks
    ]
    return [charge for charge in disputes if _is_in_range(list_request, charge[list_request.range])]
