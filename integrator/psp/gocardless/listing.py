"""What GoCardless lists, always newest first: events, what was made in a time, what is ours."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from integrator.psp.errors import ProtocolError
from integrator.psp.gocardless import notifications
from integrator.psp.gocardless.client import GoCardlessClient
from integrator.psp.gocardless.wire import Payment, Refund, Resource
from integrator.psp.toolkit import time_formats
from integrator.psp.toolkit.money import to_major
from integrator.psp.toolkit.pagination import Part, event_page, movement_page
from integrator.psp.toolkit.time_formats import milliseconds
from integrator.psp.types import EventPage, Movement, MovementKind, MovementPage, Outcome

R = TypeVar("R", bound=Resource)
Judge = Callable[[Payment | Refund], Awaitable[Outcome]]

SEARCHED = timedelta(days=30)
"""How far back an object is searched by reference, far beyond the life of its key."""

# An event may show up a little after its time: what is younger is left to the next reading.
_LAG = timedelta(seconds=5)
_FIRST = datetime(2015, 7, 6, tzinfo=UTC)  # the version of the API; nothing is older
_SHORTEST = timedelta(seconds=1)
_MOST_PAGES = 20
_SEPARATOR = "~"


async def events(client: GoCardlessClient, cursor: str | None) -> EventPage:
    """The events of the next span of time that has any, oldest first.

    GoCardless' own cursors lead into the past only. So ours is a moment, and spans are halved until
    one fits a page; the length of the last one is kept, to begin with.
    """
    since, known = _place(cursor)
    end = _whole(time_formats.now() - _LAG)
    span = min(known, end - since)
    while since < end:
        until = _whole(since + span)
        bounds = {"created_from": milliseconds(since), "created_to": milliseconds(until)}
        page = await client.entries("events", **bounds)
        if page.after is not None and span > _SHORTEST:
            span /= 2
            continue
        found = page.items
        while page.after is not None:
            page = await client.entries("events", after=page.after, **bounds)
            found = found + page.items
        if found:
            place = f"{milliseconds(until)}{_SEPARATOR}{int(2 * span.total_seconds()) + 1}"
            more = until < end
            return event_page(reversed(found), notifications.read, cursor=place, more=more)
        since, span = until, end - until
    return EventPage(cursor=cursor)


async def movements(
    client: GoCardlessClient, since: datetime, until: datetime, cursor: str | None, judge: Judge
) -> MovementPage:
    """Payments, then refunds; the cursor names the list and GoCardless' place in it."""
    bounds = {"created_from": milliseconds(since), "created_to": milliseconds(until)}

    async def part(model: type[Payment | Refund], after: str | None) -> Part:
        page = await client.listed(model, after=after, **bounds)
        return [_movement(item, await judge(item)) for item in page.items], page.after

    lists = {Payment.kind: partial(part, Payment), Refund.kind: partial(part, Refund)}
    return await movement_page(lists, cursor, _SEPARATOR)


async def named(
    client: GoCardlessClient, model: type[R], reference: str, **filters: Any
) -> list[R]:
    """The objects made with our reference, newest first; GoCardless cannot be asked for them.

    Raises `ProtocolError` when there are more objects to look through than can be.
    """
    since, after = time_formats.now() - SEARCHED, None
    if issubclass(model, Payment | Refund):
        filters["created_from"] = milliseconds(since)
    found: list[R] = []
    for _ in range(_MOST_PAGES):
        page = await client.listed(model, after=after, **filters)
        found += [item for item in page.items if item.reference == reference]
        after = page.after
        if after is None or (page.items and page.items[-1].created_at < since):
            return found
    if not found:
        raise ProtocolError("GoCardless lists too much to be searched by reference")
    return found


def _movement(item: Payment | Refund, outcome: Outcome) -> Movement:
    refund = isinstance(item, Refund)
    return Movement(
        kind=MovementKind.REFUND if refund else MovementKind.PAYMENT,
        psp_id=item.id,
        reference=item.reference,
        parent_psp_id=item.links.get("payment") if refund else None,
        amount=to_major(item.amount, item.currency),
        currency=item.currency,
        booked_at=item.created_at,
        outcome=outcome,
    )


def _place(cursor: str | None) -> tuple[datetime, timedelta]:
    if cursor is None:
        return _FIRST, timedelta.max
    moment, _, seconds = cursor.partition(_SEPARATOR)
    return datetime.fromisoformat(moment), timedelta(seconds=int(seconds))


def _whole(time: datetime) -> datetime:
    """Cut to the milliseconds that GoCardless counts in."""
    return time.replace(microsecond=time.microsecond // 1000 * 1000)
