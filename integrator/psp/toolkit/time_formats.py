"""Times as PSPs write them."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from integrator.psp.errors import ProtocolError


def now() -> datetime:
    """The present, in UTC."""
    return datetime.now(UTC)


def moment(seconds: int) -> datetime:
    """A unix time."""
    return datetime.fromtimestamp(seconds, UTC)


def day(seconds: int) -> date:
    """The day of a unix time, in UTC."""
    return moment(seconds).date()


def wall_clock(at: datetime, zone: str, *, spare: timedelta) -> str:
    """The local time of a zone without its offset, to the second; raises `ProtocolError`.

    When clocks were put back and it comes twice, `spare` is added.
    """
    try:
        local = at.astimezone(ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError):
        raise ProtocolError("The PSP names a time zone nobody knows.") from None
    twice = local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()
    wall = local.replace(tzinfo=None) + (spare if twice else timedelta())
    return wall.isoformat(timespec="seconds")


def milliseconds(time: datetime) -> str:
    """`2026-01-15T09:30:00.000Z`."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
