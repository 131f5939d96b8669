"""Pages of a PSP's lists and their cursors."""

import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from integrator.psp.errors import NotificationRejected, OutcomeUnknown
from integrator.psp.toolkit.money import UnknownCurrencyReported
from integrator.psp.types import EventPage, ListedEvent, Movement, MovementPage, NotificationEvent

T = TypeVar("T")

log = logging.getLogger(__name__)

ListPage = tuple[Iterable[Movement | None], str | None]
"""Movements (None for an entry that is none) and the position of the next page, if any."""


def build_event_page(
    entries: Iterable[Any],
    read: Callable[[bytes], Sequence[NotificationEvent]],
    *,
    cursor: str | None,
    more: bool,
) -> EventPage:
    """Build a page of an event list from its entries.

    `read` reads one entry; entries that it rejects are left out.
    """
    events = [event for entry in entries for event in _read_listed_event(entry, read)]
    return EventPage(events=tuple(events), cursor=cursor, more=more)


async def fetch_movement_page(
    lists: Mapping[str, Callable[[str | None], Awaitable[ListPage]]],
    cursor: str | None,
    separator: str = ":",
) -> MovementPage:
    """Fetch one page of several lists that are read one after the other.

    `lists` maps the name of each list to the function that reads its page at a position, None being
    the beginning. The cursor consists of the name of a list and the position in it.
    """
    names = list(lists)
    name, _, position = (cursor or names[0]).partition(separator)
    movements, next_position = await lists[name](position or None)
    remaining_lists = names[names.index(name) + 1 :]
    return MovementPage(
        movements=tuple(movement for movement in movements if movement is not None),
        cursor=f"{name}{separator}{next_position}"
        if next_position
        else next(iter(remaining_lists), None),
    )


def build_movements(
    entries: Iterable[T], build: Callable[[T], Movement | None]
) -> list[Movement | None]:
    """Build the movements of entries; None for one in a currency that no transaction of ours has.

    Other systems may use the account, too: one of their payments must not end the comparison.
    """
    return [_build_known(entry, build) for entry in entries]


def _build_known(entry: T, build: Callable[[T], Movement | None]) -> Movement | None:
    try:
        return build(entry)
    except UnknownCurrencyReported as error:
        log.warning("An entry of the PSP's list of movements was left out: %s", error)
        return None


async def iterate_entries(
    fetch_page: Callable[[str | None], Awaitable[tuple[Sequence[T], str | None]]], max_pages: int
) -> AsyncIterator[T]:
    """Yield the entries of a list; raise `OutcomeUnknown` if it has more than `max_pages` pages.

    `fetch_page` returns the page at a position, None for the first, and the position of the next.
    """
    position: str | None = None
    for _ in range(max_pages):
        page, position = await fetch_page(position)
        for entry in page:
            yield entry
        if position is None:
            return
    raise OutcomeUnknown("The PSP's list has too many pages to be searched")


async def find_in_newest(
    fetch_page: Callable[[str | None], Awaitable[tuple[Sequence[T], str | None]]],
    matches: Callable[[T], bool],
    max_pages: int,
) -> list[T]:
    """Return the matching entries of the first page that has any, of at most `max_pages` pages.

    `fetch_page` as for `iterate_entries`.
    """
    position: str | None = None
    for _ in range(max_pages):
        page, position = await fetch_page(position)
        matching = [entry for entry in page if matches(entry)]
        if matching or position is None:
            return matching
    return []


def _read_listed_event(
    entry: Any, read: Callable[[bytes], Sequence[NotificationEvent]]
) -> list[ListedEvent]:
    raw = json.dumps(entry, ensure_ascii=False).encode()
    try:
        return [ListedEvent(raw=raw, notices=tuple(read(raw)))]
    except NotificationRejected:
        return []
