"""Times as PSPs write them."""

from datetime import UTC, date, datetime


def now() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)


def moment(seconds: int) -> datetime:
    """A unix time."""
    return datetime.fromtimestamp(seconds, UTC)


def day(seconds: int) -> date:
    """The day of a unix time, in UTC."""
    return moment(seconds).date()


def milliseconds(time: datetime) -> str:
    """`2026-01-15T09:30:00.000Z`."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
