"""Days of direct debits: from when on a PSP takes one, and what it is sent. Pure.

A day is the contract's calendar date; a PSP counts days in the time zone of its `DateWindow`.
"""

import zlib
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from integrator.psp.types import DateWindow

CLOCK_MARGIN = timedelta(minutes=5)
"""The PSP's clock differs from ours: a day has not begun there for as long."""

SPREAD = timedelta(hours=1)
"""The debits of one day are sent within this time after it has begun."""


def opening_time(day: date, window: DateWindow, transaction_id: str) -> datetime:
    """Return from when on a debit of `day` may be sent, in UTC.

    That is soon after the beginning of the first day on which the PSP takes its date. The id
    spreads the debits of one day.
    """
    first_day = day - timedelta(days=window.latest_days)
    midnight = datetime.combine(first_day, time(), ZoneInfo(window.zone)).astimezone(UTC)
    offset = zlib.crc32(transaction_id.encode()) % int(SPREAD.total_seconds())
    return midnight + CLOCK_MARGIN + timedelta(seconds=offset)


def waiting_time(
    day: date, window: DateWindow | None, transaction_id: str, now: datetime
) -> datetime | None:
    """Return when to send a debit of `day` that the PSP does not take yet; None to send it now."""
    if window is None or days_ahead(day, window, now) <= window.latest_days:
        return None
    return opening_time(day, window, transaction_id)


def date_to_send(day: date | None, window: DateWindow | None, now: datetime) -> date | None:
    """Return the date that a debit of `day` is sent with at `now`; None to send it without one.

    It goes without one to a PSP that takes no dates, and where the day is too near or has passed:
    the PSP then collects as soon as it can.
    """
    if day is None or window is None:
        return day
    if window.latest_days == 0 or days_ahead(day, window, now) < window.earliest_days:
        return None
    return day


def days_ahead(day: date, window: DateWindow, now: datetime) -> int:
    """Return how many days `day` is after the day of `now` in the PSP's time zone."""
    return (day - now.astimezone(ZoneInfo(window.zone)).date()).days
