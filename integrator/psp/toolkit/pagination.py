"""Parts of a PSP's lists, and the cursors that lead through them."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from integrator.psp.errors import NotificationRejected, OutcomeUnknown
from integrator.psp.types import EventPage, ListedEvent, Movement, MovementPage, NotificationEvent

T = TypeVar("T")

Part = tuple[Iterable[Movement | None], str | None]
"""Movements, None for an entry that is none, and the place of the list's next part, if any."""


def event_page(
    entries: Iterable[Any],
    read: Callable[[bytes], Sequence[NotificationEvent]],
    *,
    cursor: str | None,
    more: bool,
) -> EventPage:
    """A part of an event list; `read` is what reads a notification, whose rejects are left out."""
    events = [event for entry in entries for event in _event(entry, read)]
    return EventPage(events=tuple(events), cursor=cursor, more=more)


async def movement_page(
    lists: Mapping[str, Callable[[str | None], Awaitable[Part]]],
    cursor: str | None,
    separator: str = ":",
) -> MovementPage:
    """A part of several lists, which are gone through one after the other.

    `lists` holds, under each list's name, what reads its part at a place: None is its beginning.
    The cursor is the name of a list and the place in it.
    """
    names = list(lists)
    name, _, place = (cursor or names[0]).partition(separator)
    found, following = await lists[name](place or None)
    later = names[names.index(name) + 1 :]
    return MovementPage(
        movements=tuple(movement for movement in found if movement is not None),
        cursor=f"{name}{separator}{following}" if following else next(iter(later), None),
    )


async def entries(
    part: Callable[[str | None], Awaitable[tuple[Sequence[T], str | None]]], most: int
) -> AsyncIterator[T]:
    """The entries of a list of at most so many parts; raises `OutcomeUnknown` before a longer one.

    `part` reads the part at a place, None for the first, and tells the place of the next.
    """
    place: str | None = None
    for _ in range(most):
        found, place = await part(place)
        for entry in found:
            yield entry
        if place is None:
            return
    raise OutcomeUnknown("The PSP's list is too long to be searched")


async def newest(
    part: Callable[[str | None], Awaitable[tuple[Sequence[T], str | None]]],
    wanted: Callable[[T], bool],
    most: int,
) -> list[T]:
    """The wanted entries of the first part that has any, of at most so many; `part` as above."""
    place: str | None = None
    for _ in range(most):
        found, place = await part(place)
        chosen = [entry for entry in found if wanted(entry)]
        if chosen or place is None:
            return chosen
    return []


def _event(entry: Any, read: Callable[[bytes], Sequence[NotificationEvent]]) -> list[ListedEvent]:
    raw = json.dumps(entry, ensure_ascii=False).encode()
    try:
        return [ListedEvent(raw=raw, notices=tuple(read(raw)))]
    except NotificationRejected:
        return []
