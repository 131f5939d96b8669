"""Time as the PSP keeps it: milliseconds since the epoch inside, ISO 8601 UTC outside."""

import time
from datetime import UTC, date, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def time_after(seconds: float) -> int:
    """The moment `seconds` from now, in milliseconds since the epoch."""
    return now_ms() + round(seconds * 1000)


def to_ms(time: datetime) -> int:
    """Milliseconds since the epoch; what is finer is cut off."""
    return (time - _EPOCH) // timedelta(milliseconds=1)


def to_iso(ms: int) -> str:
    """`2026-01-31T12:00:00.123Z`."""
    time = datetime.fromtimestamp(ms / 1000, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def today() -> date:
    """The current day in UTC, the PSP's booking day."""
    return datetime.now(UTC).date()
