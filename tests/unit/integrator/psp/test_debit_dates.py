"""Days of direct debits: from when on they are sent, and with which date."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from integrator.psp.debit_dates import (
    CLOCK_MARGIN,
    SPREAD,
    date_to_send,
    days_ahead,
    opening_time,
    waiting_time,
)
from integrator.psp.types import DateWindow

ZONES = ("UTC", "Europe/London", "Europe/Stockholm", "Pacific/Kiritimati", "Etc/GMT+12")
DAY = date(2027, 3, 28)  # the clocks go forward in Europe
zones = pytest.mark.parametrize("zone", ZONES)
windows = st.builds(
    lambda earliest, more, zone: DateWindow(
        earliest_days=earliest, latest_days=earliest + more, zone=zone
    ),
    st.integers(0, 20),
    st.integers(0, 370),
    st.sampled_from(ZONES),
)
times = st.integers(0, 4 * 365 * 86_400).map(
    lambda seconds: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
)


def at(text: str, zone: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))


@zones
@pytest.mark.parametrize("latest", [0, 14, 360])
def test_a_debit_waits_for_the_first_day_on_which_the_psp_takes_its_date(
    zone: str, latest: int
) -> None:
    window = DateWindow(earliest_days=0, latest_days=latest, zone=zone)
    first = DAY - timedelta(days=latest)
    before = at(f"{first - timedelta(days=1)}T23:59:59", zone)
    send_at = waiting_time(DAY, window, "t-1", before)
    assert send_at is not None
    assert at(f"{first}T00:00", zone) + CLOCK_MARGIN <= send_at
    assert send_at < at(f"{first}T00:00", zone) + CLOCK_MARGIN + SPREAD
    assert waiting_time(DAY, window, "t-1", at(f"{first}T00:00", zone)) is None


def test_one_moment_is_on_two_days() -> None:
    moment = datetime(2027, 3, 27, 12, 30, tzinfo=UTC)
    east = DateWindow(earliest_days=0, latest_days=0, zone="Pacific/Kiritimati")
    west = DateWindow(earliest_days=0, latest_days=0, zone="Etc/GMT+12")
    assert waiting_time(DAY, east, "t-1", moment) is None
    assert waiting_time(DAY, west, "t-1", moment) is not None


def test_the_debits_of_a_day_are_spread() -> None:
    window = DateWindow(earliest_days=0, latest_days=0)
    times = {opening_time(DAY, window, f"t-{number}") for number in range(100)}
    assert len(times) > 50
    assert opening_time(DAY, window, "t-1") == opening_time(DAY, window, "t-1")


@given(windows, times, st.integers(-30, 400))
def test_a_debit_is_sent_once_the_psp_takes_its_date(
    window: DateWindow, now: datetime, ahead: int
) -> None:
    day = now.date() + timedelta(days=ahead)
    send_at = waiting_time(day, window, "t-1", now)
    sent_at = max(now, send_at or now)
    assert send_at is None or send_at > now
    assert days_ahead(day, window, sent_at) <= window.latest_days
    sent = date_to_send(day, window, sent_at)
    if sent is not None:
        assert sent == day
        assert days_ahead(day, window, sent_at) >= window.earliest_days
        assert window.latest_days > 0


@zones
def test_a_day_that_is_too_near_is_left_out(zone: str) -> None:
    window = DateWindow(earliest_days=3, latest_days=14, zone=zone)
    evening = at(f"{DAY - timedelta(days=3)}T23:59:59", zone)
    assert date_to_send(DAY, window, evening) == DAY
    assert date_to_send(DAY, window, evening + timedelta(seconds=1)) is None


def test_a_day_is_passed_on_to_a_psp_that_declares_no_limits() -> None:
    assert waiting_time(DAY, None, "t-1", datetime(2026, 1, 1, tzinfo=UTC)) is None
    assert date_to_send(DAY, None, datetime(2028, 1, 1, tzinfo=UTC)) == DAY
    window = DateWindow(earliest_days=0, latest_days=5)
    assert date_to_send(None, window, datetime(2028, 1, 1, tzinfo=UTC)) is None


@pytest.mark.parametrize("zone", ["", "Europe/Nowhere", "/etc/passwd"])
def test_a_window_needs_a_known_zone(zone: str) -> None:
    with pytest.raises(ValidationError, match="use an IANA name"):
        DateWindow(earliest_days=0, latest_days=1, zone=zone)
