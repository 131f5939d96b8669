"""Arithmetic with times at the ends of the calendar."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrator.contract import times
from integrator.contract.times import EARLIEST, LATEST

OFFSETS = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
ANY_TIME = st.datetimes(timezones=st.one_of(st.none(), OFFSETS))
DAY = timedelta(days=1)


@given(ANY_TIME, st.timedeltas())
def test_no_sum_raises(at: datetime, duration: timedelta) -> None:
    utc = times.to_utc(at)
    result = times.add(utc, duration)
    assert result.tzinfo is not None
    assert (result >= utc) is (duration >= timedelta(0))


@pytest.mark.parametrize(
    ("at", "duration", "result"),
    [
        (datetime(2026, 1, 15, tzinfo=UTC), DAY, datetime(2026, 1, 16, tzinfo=UTC)),
        (datetime(9999, 12, 31, tzinfo=UTC), DAY, LATEST),
        (datetime(1, 1, 1, tzinfo=UTC), -DAY, EARLIEST),
    ],
)
def test_sums(at: datetime, duration: timedelta, result: datetime) -> None:
    assert times.add(at, duration) == result


@pytest.mark.parametrize(
    ("at", "result"),
    [
        (datetime(2026, 1, 15, 9), datetime(2026, 1, 15, 9, tzinfo=UTC)),  # noqa: DTZ001
        (
            datetime(2026, 1, 15, 9, tzinfo=timezone(timedelta(hours=2))),
            datetime(2026, 1, 15, 7, tzinfo=UTC),
        ),
        (datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1))), EARLIEST),
        (datetime(9999, 12, 31, 23, 59, tzinfo=timezone(timedelta(hours=-1))), LATEST),
    ],
)
def test_times_in_utc(at: datetime, result: datetime) -> None:
    assert times.to_utc(at) == result
    assert times.to_utc(at).tzinfo is UTC


@given(ANY_TIME, ANY_TIME)
def test_all_times_can_be_compared(one: datetime, other: datetime) -> None:
    first, second = sorted([times.to_utc(one), times.to_utc(other)])
    assert second - first >= timedelta(0)
    assert first.timestamp() <= second.timestamp()
