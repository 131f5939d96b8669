"""Search of a PSP's lists around the time at which a transaction was created.

Most objects are created within minutes of their transaction, so that the spans next to that time
are read first. Only a search that has read everything until now shows that there is no object.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from time import monotonic
from typing import Generic, TypeVar

T = TypeVar("T")

CLOCK_TOLERANCE = timedelta(minutes=5)
"""The PSP's clock and ours may differ by that."""

MAX_SECONDS = 6.0
"""Less than an attempt of a look-up may take, which would be repeated from its first page."""

_KEY_TOLERANCE = timedelta(hours=1)
_SPAN_ENDS = tuple(timedelta(minutes=m) for m in (5, 60, 6 * 60, 24 * 60, 7 * 24 * 60))


@dataclass(frozen=True)
class TimeSpan:
    """Span of creation times, from `since` until before `until`."""

    since: datetime
    until: datetime


@dataclass(frozen=True)
class SearchResult(Generic[T]):
    """Matching objects; `complete` says that every object up to now was read."""

    matches: Sequence[T]
    complete: bool


FetchPage = Callable[[TimeSpan, str | None], Awaitable[tuple[Sequence[T], str | None]]]
"""Returns the page of a span at a position, None for the first, and the position of the next."""


def spans_until_now(created_at: datetime, now: datetime) -> list[TimeSpan]:
    """Return the spans from the creation until now, each longer than the one before."""
    ends = [end for length in _SPAN_ENDS if (end := created_at + length) < now]
    last = max(created_at, now) + CLOCK_TOLERANCE
    bounds = [created_at - CLOCK_TOLERANCE, *ends, last]
    return [TimeSpan(since, until) for since, until in pairwise(bounds)]


async def find_near(
    fetch_page: FetchPage[T],
    matches: Callable[[T], bool],
    spans: Sequence[TimeSpan],
    max_pages: int,
) -> SearchResult[T]:
    """Search the spans in their order, and stop at the first page with a match.

    After `max_pages` pages or `MAX_SECONDS` without one the search ends, incomplete.
    """
    pages, deadline = 0, monotonic() + MAX_SECONDS
    for span in spans:
        position: str | None = None
        while True:
            if pages == max_pages or monotonic() > deadline:
                return SearchResult((), complete=False)
            entries, position = await fetch_page(span, position)
            pages += 1
            found = [entry for entry in entries if matches(entry)]
            if found:
                return SearchResult(found, complete=False)
            if position is None:
                break
    return SearchResult((), complete=True)


def is_key_forgotten(created_at: datetime | None, now: datetime, window_seconds: int) -> bool:
    """Return whether the PSP does not recognise the transaction's key any more.

    Before that an object that is not found may still be created, by a request under way or by a
    repetition with the key, which is safe; after that its absence is final.
    """
    if created_at is None:
        return False
    return now - created_at >= timedelta(seconds=window_seconds) + _KEY_TOLERANCE
