"""Lists of GoCardless, newest first: events, movements, and search by our reference."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from integrator.psp.errors import ProtocolError
from integrator.psp.gocardless import notifications
from integrator.psp.gocardless.client import GoCardlessClient
from integrator.psp.gocardless.payment_history import COLLECTED_STATUSES
from integrator.psp.gocardless.wire import Event, Payment, Refund, Resource
from integrator.psp.toolkit import time_formats
from integrator.psp.toolkit.http import parse_object
from integrator.psp.toolkit.money import UnknownCurrencyReported, to_major
from integrator.psp.toolkit.pagination import ListPage, build_event_page, fetch_movement_page
from integrator.psp.toolkit.time_formats import format_milliseconds
from integrator.psp.toolkit.time_search import (
    CLOCK_TOLERANCE,
    SearchResult,
    TimeSpan,
    find_near,
    spans_until_now,
)
from integrator.psp.types import EventPage, Lookup, Movement, MovementKind, MovementPage, Outcome

R = TypeVar("R", bound=Resource)
OutcomeReader = Callable[[Payment | Refund, bool], Awaitable[Outcome]]
"""Reads the outcome of an object; the second argument says that a payment was never withdrawn."""

SEARCH_SPAN = timedelta(days=30)
"""Period of a search by reference, far longer than the lifetime of an idempotency key."""

# An event may be listed a little after its time: newer ones are left to the next call.
_LAG = timedelta(seconds=5)
_EARLIEST = datetime(2015, 7, 6, tzinfo=UTC)  # the version of the API; nothing is older
_MIN_SPAN = timedelta(seconds=1)
_MAX_PAGES = 20
_SEPARATOR = "~"
_WITHDRAWING_ACTIONS = ("charged_back", "failed")

log = logging.getLogger(__name__)


async def list_events(client: GoCardlessClient, cursor: str | None) -> EventPage:
    """Fetch the events of the next time span that has any, oldest first.

    GoCardless' own cursors lead only to older entries. So our cursor is a time, and the span is
    halved until it fits a page. The cursor also holds the length of the last span to start with.
    """
    since, last_span = _parse_cursor(cursor)
    end = _truncate_to_milliseconds(time_formats.now() - _LAG)
    span = min(last_span, end - since)
    while since < end:
        until = _truncate_to_milliseconds(since + span)
        bounds = {
            "created_from": format_milliseconds(since),
            "created_to": format_milliseconds(until),
        }
        page = await client.list_raw("events", **bounds)
        if page.after is not None and span > _MIN_SPAN:
            span /= 2
            continue
        items = page.items
        while page.after is not None:
            page = await client.list_raw("events", after=page.after, **bounds)
            items = items + page.items
        if items:
            next_cursor = (
                f"{format_milliseconds(until)}{_SEPARATOR}{int(2 * span.total_seconds()) + 1}"
            )
            more = until < end
            return build_event_page(
                reversed(items), notifications.read_event, cursor=next_cursor, more=more
            )
        since, span = until, end - until
    return EventPage(cursor=cursor)


async def list_movements(
    client: GoCardlessClient,
    since: datetime,
    until: datetime,
    cursor: str | None,
    to_outcome: OutcomeReader,
) -> MovementPage:
    """Fetch a page of payments, then refunds; the cursor names the list and the position in it.

    An object in a currency that no transaction of ours has is left out.
    """
    bounds = {"created_from": format_milliseconds(since), "created_to": format_milliseconds(until)}

    async def fetch_page(model: type[Payment | Refund], after: str | None) -> ListPage:
        page = await client.list_objects(model, after=after, **bounds)
        known = [item for item in page.items if _has_known_currency(item)]
        withdrawn = await _find_withdrawn(client, known, since)
        movements = [
            _movement(item, await to_outcome(item, item.id not in withdrawn), since)
            for item in known
        ]
        return movements, page.after

    lists = {Payment.kind: partial(fetch_page, Payment), Refund.kind: partial(fetch_page, Refund)}
    return await fetch_movement_page(lists, cursor, _SEPARATOR)


async def find_by_reference(
    client: GoCardlessClient, model: type[R], reference: str, **filters: Any
) -> list[R]:
    """Return the objects with our reference, newest first, by reading the list.

    GoCardless has no search by reference. Raises `ProtocolError` if the list is too long.
    """
    since, after = time_formats.now() - SEARCH_SPAN, None
    if issubclass(model, Payment | Refund):
        filters["created_from"] = format_milliseconds(since)
    matches: list[R] = []
    for _ in range(_MAX_PAGES):
        page = await client.list_objects(model, after=after, **filters)
        matches += [item for item in page.items if item.reference == reference]
        after = page.after
        last_at = page.items[-1].created_at if page.items else None
        if after is None or (last_at is not None and last_at < since):
            return matches
    if not matches:
        raise ProtocolError("GoCardless' list has too many pages to be searched by reference")
    return matches


async def search_around(
    client: GoCardlessClient, model: type[R], lookup: Lookup, **filters: Any
) -> SearchResult[R]:
    """Search the objects with our reference among those created since the transaction.

    Without the transaction's time the search is never complete.
    """
    now = time_formats.now()
    spans = [TimeSpan(now - SEARCH_SPAN, now + CLOCK_TOLERANCE)]
    if lookup.created_at is not None:
        spans = spans_until_now(lookup.created_at, now)
    has_bounds = issubclass(model, Payment | Refund)
    if not has_bounds or filters:
        spans = [TimeSpan(spans[0].since, spans[-1].until)]

    async def fetch_page(span: TimeSpan, after: str | None) -> tuple[Sequence[R], str | None]:
        bounds = {
            "created_from": format_milliseconds(span.since),
            "created_to": format_milliseconds(span.until),
        }
        page = await client.list_objects(
            model, after=after, **filters, **(bounds if has_bounds else {})
        )
        last_at = page.items[-1].created_at if page.items else None
        is_older = last_at is not None and last_at < span.since
        return page.items, None if is_older else page.after

    found = await find_near(
        fetch_page, lambda item: item.reference == lookup.reference, spans, _MAX_PAGES
    )
    complete = found.complete and lookup.created_at is not None
    return SearchResult(found.matches, complete=complete)


def _has_known_currency(item: Payment | Refund) -> bool:
    try:
        to_major(item.amount, item.currency)
    except UnknownCurrencyReported as error:
        log.warning("The %s %s are left out: %s", item.kind, item.id, error)
        return False
    return True


async def _find_withdrawn(
    client: GoCardlessClient, items: Sequence[Payment | Refund], since: datetime
) -> frozenset[str]:
    """Return the ids of the collected payments that were ever withdrawn.

    The events of a kind are listed together: reading those of each payment would take a call for
    every one. If there are too many, every payment counts as withdrawn, and its events are read.
    """
    collected = {
        item.id for item in items if isinstance(item, Payment) and item.status in COLLECTED_STATUSES
    }
    withdrawn: set[str] = set()
    for action in _WITHDRAWING_ACTIONS if collected else ():
        filters = {
            "resource_type": Payment.kind,
            "action": action,
            "created_from": format_milliseconds(since),
        }
        after: str | None = None
        for _ in range(_MAX_PAGES):
            page = await client.list_raw(Event.kind, after=after, **filters)
            events = [parse_object(Event, item) for item in page.items]
            withdrawn |= {id for event in events if (id := event.link("payment")) is not None}
            after = page.after
            if after is None:
                break
        if after is not None:
            return frozenset(collected)
    return frozenset(collected & withdrawn)


def _movement(item: Payment | Refund, outcome: Outcome, since: datetime) -> Movement:
    refund = isinstance(item, Refund)
    return Movement(
        kind=MovementKind.REFUND if refund else MovementKind.PAYMENT,
        psp_id=item.id,
        reference=item.reference,
        parent_psp_id=item.link("payment") if refund else None,
        amount=to_major(item.amount, item.currency),
        currency=item.currency,
        booked_at=item.created_at or since,
        outcome=outcome,
    )


def _parse_cursor(cursor: str | None) -> tuple[datetime, timedelta]:
    if cursor is None:
        return _EARLIEST, timedelta.max
    moment, _, seconds = cursor.partition(_SEPARATOR)
    return datetime.fromisoformat(moment), timedelta(seconds=int(seconds))


def _truncate_to_milliseconds(time: datetime) -> datetime:
    """Truncate a time to the milliseconds that GoCardless counts in."""
    return time.replace(microsecond=time.microsecond // 1000 * 1000)
