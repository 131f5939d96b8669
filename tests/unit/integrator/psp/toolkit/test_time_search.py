"""Spans of a search around a creation time, and what a search has read."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrator.psp.toolkit import time_search
from integrator.psp.toolkit.time_search import (
    CLOCK_TOLERANCE,
    MAX_SECONDS,
    SearchResult,
    TimeSpan,
    find_near,
    is_key_forgotten,
    spans_until_now,
)

CREATED = datetime(2026, 1, 15, 9, tzinfo=UTC)


@given(st.timedeltas(timedelta(minutes=-4), timedelta(days=4000)))
def test_the_spans_cover_everything_until_now(age: timedelta) -> None:
    spans = spans_until_now(CREATED, CREATED + age)
    assert spans[0].since == CREATED - CLOCK_TOLERANCE
    assert spans[-1].until >= CREATED + age + CLOCK_TOLERANCE
    assert all(span.since < span.until for span in spans)
    assert all(a.until == b.since for a, b in pairwise(spans))


class Pages:
    """Pages of one entry each, by the beginning of their span; keeps what was read."""

    def __init__(self, **entries: list[str]) -> None:
        self.read: list[str] = []
        self._entries = entries

    async def fetch(self, span: TimeSpan, position: str | None) -> tuple[Sequence[str], str | None]:
        entries, index = self._entries[f"day{span.since.day}"], int(position or 0)
        page = entries[index : index + 1]
        self.read += page
        return page, str(index + 1) if index + 1 < len(entries) else None


SPANS = [TimeSpan(CREATED, CREATED + timedelta(days=1))]
SPANS.append(TimeSpan(SPANS[0].until, SPANS[0].until + timedelta(days=1)))


@pytest.mark.parametrize(
    ("wanted", "max_pages", "result", "read"),
    [
        ("b", 9, SearchResult(["b"], complete=False), "ab"),
        ("d", 9, SearchResult(["d"], complete=False), "abcd"),
        ("x", 9, SearchResult((), complete=True), "abcde"),
        ("x", 5, SearchResult((), complete=True), "abcde"),
        ("x", 4, SearchResult((), complete=False), "abcd"),
        ("e", 4, SearchResult((), complete=False), "abcd"),
    ],
)
async def test_a_search_reads_the_spans_in_their_order(
    wanted: str, max_pages: int, result: SearchResult[str], read: str
) -> None:
    pages = Pages(day15=["a", "b", "c"], day16=["d", "e"])
    assert await find_near(pages.fetch, lambda e: e == wanted, SPANS, max_pages) == result
    assert "".join(pages.read) == read


async def test_a_search_that_takes_too_long_is_incomplete(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pages = Pages(day15=["a", "b", "c"], day16=["d", "e"])
    clock = iter([0.0, 0.0, MAX_SECONDS, MAX_SECONDS + 1])
    monkeypatch.setattr(time_search, "monotonic", lambda: next(clock))
    found = await find_near(pages.fetch, lambda entry: entry == "d", SPANS, 9)
    assert found == SearchResult((), complete=False)
    assert pages.read == ["a", "b"]


@pytest.mark.parametrize(
    ("created_at", "age", "forgotten"),
    [
        (CREATED, timedelta(hours=24), False),
        (CREATED, timedelta(hours=25), True),
        (None, timedelta(hours=25), False),
    ],
)
def test_a_key_is_forgotten_some_time_after_its_window(
    created_at: datetime | None, age: timedelta, forgotten: bool
) -> None:
    assert is_key_forgotten(created_at, CREATED + age, 24 * 3600) is forgotten
