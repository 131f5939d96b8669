"""Read and convert times: milliseconds since the epoch inside, ISO 8601 UTC outside."""

import time
from datetime import UTC, date, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now_ms() -> int:
    """Return the current time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def time_after(seconds: float) -> int:
    """Return the time `seconds` from now, in milliseconds since the epoch."""
    return now_ms() + round(seconds * 1000)


def to_ms(time: datetime) -> int:
    """Convert to milliseconds since the epoch; finer fractions are cut off."""
    return (time - _EPOCH) // timedelta(milliseconds=1)


def to_iso(ms: int) -> str:
    """Format as `2026-01-31T12:00:00.123Z`."""
    time = datetime.fromtimestamp(ms / 1000, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def today() -> date:
    """Return the current day in UTC, the PSP's booking day."""
    return datetime.now(UTC).date()
