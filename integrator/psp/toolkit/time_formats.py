"""Conversion of times to and from the formats of PSPs."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from integrator.psp.errors import ProtocolError


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def utc_datetime(seconds: int) -> datetime:
    """Convert a unix time."""
    return datetime.fromtimestamp(seconds, UTC)


def utc_date(seconds: int) -> date:
    """Convert a unix time to its date in UTC."""
    return utc_datetime(seconds).date()


def format_local_time(at: datetime, zone: str, *, ambiguity_offset: timedelta) -> str:
    """Format the local time of a zone without offset, to the second; raises `ProtocolError`.

    `ambiguity_offset` is added to a time that occurs twice because clocks were put back.
    """
    try:
        local = at.astimezone(ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError):
        raise ProtocolError("The PSP returned an unknown time zone.") from None
    is_ambiguous = local.replace(fold=0).utcoffset() != local.replace(fold=1).utcoffset()
    local_time = local.replace(tzinfo=None) + (ambiguity_offset if is_ambiguous else timedelta())
    return local_time.isoformat(timespec="seconds")


def format_milliseconds(time: datetime) -> str:
    """Format a time as `2026-01-15T09:30:00.000Z`."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
