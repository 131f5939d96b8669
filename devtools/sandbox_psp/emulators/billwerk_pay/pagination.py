"""The lists: newest first, by local time of the account, and the list of events."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Query, Request, Response

from devtools.sandbox_psp import repository
from devtools.sandbox_psp.clock import iso, ms
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.billwerk_pay import events, invoices, serializers
from devtools.sandbox_psp.emulators.billwerk_pay.auth import Authenticated, only
from devtools.sandbox_psp.emulators.billwerk_pay.routes import TIMEZONE
from devtools.sandbox_psp.errors import invalid
from devtools.sandbox_psp.models import Authorization, Charge, Refund

router = APIRouter()

Shown = dict[str, Any]
_MONTH = timedelta(days=30)
_COMMON = ("range", "from", "to", "size", "next_page_token")


@dataclass(frozen=True)
class Wanted:
    """What a list was asked for; times are UTC in the engine's form."""

    ctx: Context
    account: str
    since: str
    until: str
    range: str


@router.get("/v1/list/transaction")
async def list_transactions(caller: Authenticated, request: Request) -> Response:
    """Reservations, settles and refunds by creation."""
    return await _listed(
        caller, request, _transactions, ("created",), ("type", "state", "invoice", "currency")
    )


@router.get("/v1/list/charge")
async def list_charges(caller: Authenticated, request: Request) -> Response:
    """Charges by creation or by settlement."""
    filters = ("handle", "state", "customer", "currency")
    return await _listed(caller, request, _charges, ("created", "settled"), filters)


@router.get("/v1/list/credit_note")
async def list_credit_notes(caller: Authenticated, request: Request) -> Response:
    """What successful refunds have left."""
    return await _listed(caller, request, _credit_notes, ("created",), ("invoice", "currency"))


@router.get("/v1/list/dispute")
async def list_disputes(caller: Authenticated, request: Request) -> Response:
    """Complaints of payers."""
    filters = ("id", "invoice", "state", "outcome", "reason")
    return await _listed(caller, request, _disputes, ("created", "resolved"), filters)


@router.get("/v1/event")
async def list_events(
    caller: Authenticated,
    request: Request,
    page: Annotated[int, Query(ge=1)] = 1,
    size: Annotated[int, Query(ge=10, le=100)] = 20,
) -> Response:
    """Events, newest first, by page number."""
    only(request, "page", "size", "invoice", "customer")
    ctx, account = caller.ctx, caller.account.id
    return await caller.get(
        lambda: events.page(ctx, account, page, size, request.query_params.get("invoice"))
    )


async def _listed(
    caller: Any,
    request: Request,
    find: Callable[[Wanted], list[Shown]],
    ranges: tuple[str, ...],
    filters: tuple[str, ...],
) -> Response:
    only(request, *_COMMON, *filters)
    query = request.query_params
    until = _utc(query.get("to")) or datetime.now(UTC) + timedelta(seconds=1)
    since = _utc(query.get("from")) or until - _MONTH
    by = query.get("range", "created")
    size, token = query.get("size", "20"), query.get("next_page_token", "0")
    if by not in ranges or not size.isdigit() or not 10 <= int(size) <= 100 or not token.isdigit():
        raise invalid("parameter_invalid", "range, size or next_page_token")
    wanted = Wanted(caller.ctx, caller.account.id, iso(ms(since)), iso(ms(until)), by)
    asked = {name: query.getlist(name) for name in filters if name in query}

    def look() -> Shown:
        found = [one for one in find(wanted) if _fits(one, asked)]
        found.sort(key=lambda one: str(one[by]), reverse=True)
        start, end = int(token), int(token) + int(size)
        shown = {"size": int(size), "count": len(found[start:end]), "range": by}
        more = {"next_page_token": str(end)} if len(found) > end else {}
        ends = {"from": _local(since), "to": _local(until)}
        return {**shown, **ends, **more, "content": found[start:end]}

    response: Response = await caller.get(look)
    return response


def _fits(one: Shown, asked: Mapping[str, list[str]]) -> bool:
    return all(one.get(name) in values for name, values in asked.items())


def _utc(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        local = datetime.fromisoformat(text)
    except ValueError:
        raise invalid("parameter_invalid", "from, to: not a date") from None
    if local.tzinfo is not None:
        raise invalid("parameter_invalid", "from, to: local time has no offset")
    return local.replace(tzinfo=ZoneInfo(TIMEZONE)).astimezone(UTC)


def _local(at: datetime) -> str:
    return at.astimezone(ZoneInfo(TIMEZONE)).replace(tzinfo=None).isoformat(timespec="seconds")


def _records(wanted: Wanted, cls: type[repository.R], *, ever: bool = False) -> list[repository.R]:
    rows = wanted.ctx.db.all(
        "SELECT body FROM objects WHERE account = ? AND kind = ?"
        " AND json_extract(body, '$.created_at') >= ? AND json_extract(body, '$.created_at') < ?"
        " ORDER BY number DESC",
        wanted.account,
        cls.kind,
        "" if ever else wanted.since,
        wanted.until,
    )
    return [cls.model_validate_json(row["body"]) for row in rows]


def _within(wanted: Wanted, at: str) -> bool:
    return wanted.since <= at < wanted.until


def _transactions(wanted: Wanted) -> list[Shown]:
    ctx = wanted.ctx
    return [
        *(serializers.authorization(one) for one in _records(wanted, Authorization)),
        *(serializers.settle(ctx, one) for one in _records(wanted, Charge)),
        *(serializers.refund_transaction(ctx, one) for one in _records(wanted, Refund)),
    ]


def _charges(wanted: Wanted) -> list[Shown]:
    ever = wanted.range == "settled"
    shown = (
        serializers.charge(wanted.ctx, one) for one in _records(wanted, invoices.Invoice, ever=ever)
    )
    return [one for one in shown if _within(wanted, one.get(wanted.range) or "")]


def _credit_notes(wanted: Wanted) -> list[Shown]:
    found = _records(wanted, Refund)
    return [serializers.credit_note(wanted.ctx, one) for one in found if one.status == "succeeded"]


def _disputes(wanted: Wanted) -> list[Shown]:
    made: list[Charge] = _records(wanted, Charge, ever=True)
    shown = [
        serializers.dispute(wanted.ctx, one, taken) for one in made for taken in one.chargebacks
    ]
    return [one for one in shown if _within(wanted, one[wanted.range])]
