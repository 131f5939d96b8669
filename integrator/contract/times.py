"""Arithmetic with times that never raises: what would leave the years 1 to 9999 stays at its end.

Workflows and adapters calculate with dates that callers and PSPs send. 9999-12-31 is common for
"no end", and 0001-01-01 for "not set".
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from pydantic import AfterValidator

EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
LATEST: Final = datetime.max.replace(tzinfo=UTC)


def add(at: datetime, duration: timedelta) -> datetime:
    """Return `at + duration` of an aware time, at most `LATEST` and at least `EARLIEST`."""
    try:
        return at + duration
    except OverflowError:
        return LATEST if duration > timedelta(0) else EARLIEST


def to_utc(at: datetime) -> datetime:
    """Return the time in UTC; one without a time zone counts as UTC."""
    if at.tzinfo is None:
        return at.replace(tzinfo=UTC)
    try:
        return at.astimezone(UTC)
    except OverflowError:
        # Only a time within a day of either end is out of range in UTC.
        return LATEST if at.year > 1 else EARLIEST


UtcTime = Annotated[datetime, AfterValidator(to_utc)]
"""Time of a message or of a PSP's report, always comparable with other times."""
