"""What GoCardless lists, always newest first: events, what was made in a time, what is ours."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from psp.common.money import to_major
from psp.errors import NotificationRejected, ProtocolError
from psp.gocardless import notifications
from psp.gocardless.client import GoCardlessClient
from psp.gocardless.wire import Payment, Refund, Resource
from psp.types import EventPage, ListedEvent, Movement, MovementKind, MovementPage, Outcome

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
_MOVEMENTS: dict[str, tuple[type[Payment | Refund], MovementKind]] = {
    Payment.kind: (Payment, MovementKind.PAYMENT),
    Refund.kind: (Refund, MovementKind.REFUND),
}


async def events(client: GoCardlessClient, cursor: str | None, now: datetime) -> EventPage:
    """The events of the next span of time that has any, oldest first.

    GoCardless' own cursors lead into the past only. So ours is a moment, and spans are halved until
    one fits a page; the length of the last one is kept, to begin with.
    """
    since, known = _place(cursor)
    end = _whole(now - _LAG)
    span = min(known, end - since)
    while since < end:
        until = _whole(since + span)
        bounds = {"created_from": _moment(since), "created_to": _moment(until)}
        page = await client.entries("events", **bounds)
        if page.after is not None and span > _SHORTEST:
            span /= 2
            continue
        found = page.items + [item async for item in _older(client, page.after, bounds)]
        if found:
            listed = tuple(event for entry in reversed(found) for event in _event(entry))
            place = f"{_moment(until)}{_SEPARATOR}{int(2 * span.total_seconds()) + 1}"
            return EventPage(events=listed, cursor=place, more=until < end)
        since, span = until, end - until
    return EventPage(cursor=cursor)


async def movements(
    client: GoCardlessClient, since: datetime, until: datetime, cursor: str | None, judge: Judge
) -> MovementPage:
    """Payments, then refunds; the cursor names the list and GoCardless' place in it."""
    kind, _, after = (cursor or Payment.kind).partition(_SEPARATOR)
    model, movement = _MOVEMENTS[kind]
    bounds = {"created_from": _moment(since), "created_to": _moment(until)}
    page = await client.page(model, after=after or None, **bounds)
    following = f"{kind}{_SEPARATOR}{page.after}" if page.after else None
    if following is None and model is Payment:
        following = Refund.kind
    return MovementPage(
        movements=tuple([_movement(movement, item, await judge(item)) for item in page.items]),
        cursor=following,
    )


async def named(
    client: GoCardlessClient, model: type[R], reference: str, now: datetime, **filters: str
) -> list[R]:
    """The objects made with our reference, newest first; GoCardless cannot be asked for them.

    Raises `ProtocolError` when there are more objects to look through than can be.
    """
    since, after = now - SEARCHED, None
    if model.kind in _MOVEMENTS:
        filters["created_from"] = _moment(since)
    found: list[R] = []
    for _ in range(_MOST_PAGES):
        page = await client.page(model, after=after, **filters)
        found += [item for item in page.items if item.reference == reference]
        after = page.after
        if after is None or (page.items and page.items[-1].created_at < since):
            return found
    if not found:
        raise ProtocolError("GoCardless lists too much to be searched by reference")
    return found


async def _older(
    client: GoCardlessClient, after: str | None, bounds: dict[str, str]
) -> AsyncIterator[dict[str, Any]]:
    while after is not None:
        page = await client.entries("events", after=after, **bounds)
        for item in page.items:
            yield item
        after = page.after


def _event(entry: dict[str, Any]) -> list[ListedEvent]:
    raw = json.dumps(entry, ensure_ascii=False).encode()
    try:
        return [ListedEvent(raw=raw, notices=tuple(notifications.read(raw)))]
    except NotificationRejected:
        return []


def _movement(kind: MovementKind, item: Payment | Refund, outcome: Outcome) -> Movement:
    return Movement(
        kind=kind,
        psp_id=item.id,
        reference=item.reference,
        parent_psp_id=item.links.get("payment") if kind is MovementKind.REFUND else None,
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


def _moment(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
