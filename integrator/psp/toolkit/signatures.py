"""HMAC signatures of notifications: constant-time, over the raw body, with any of the secrets."""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pydantic import SecretStr

from integrator.psp.errors import NotificationRejected
from integrator.psp.toolkit.secrets import split

TOLERANCE_SECONDS = 300
_TIME = re.compile(r"[0-9]{1,12}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def header(headers: Mapping[str, str], name: str) -> str:
    """A header, whatever the case of its name; empty if there is none."""
    return next((text for key, text in headers.items() if key.lower() == name.lower()), "")


def require_hmac_sha256(secrets: Iterable[str], signed: bytes, digests: Sequence[str]) -> None:
    """Raise `NotificationRejected` unless one hex digest is made with one of the secrets."""
    expected = [hmac.new(s.encode(), signed, hashlib.sha256).hexdigest() for s in secrets]
    # A list, not a generator: the time taken must not tell which one matched.
    matches = [hmac.compare_digest(e.encode(), d.encode()) for e in expected for d in digests]
    if not any(matches):
        raise NotificationRejected("The notification's signature is wrong")


def require_fresh(at: float, now: datetime, tolerance: float = TOLERANCE_SECONDS) -> None:
    """Raise `NotificationRejected` for a time (unix seconds) too far from now, either way."""
    if abs(now.timestamp() - at) > tolerance:
        raise NotificationRejected("The notification is too old, or from the future")


def require_past(at: datetime, now: datetime, tolerance: float = TOLERANCE_SECONDS) -> None:
    """Raise `NotificationRejected` for a time ahead of us; for PSPs that repeat an old one."""
    if (at - now).total_seconds() > tolerance:
        raise NotificationRejected("The notification is from the future")


def require_timestamped(
    secrets: SecretStr, headers: Mapping[str, str], name: str, body: bytes, now: datetime
) -> None:
    """Raise `NotificationRejected` unless header `name` signs the time and the body, just now.

    Of the form `t=<unix seconds>,v1=<hex>`, made over `<unix seconds>.<body>`.
    """
    at, digests = timestamped(header(headers, name))
    require_fresh(int(at), now)
    require_hmac_sha256(split(secrets), f"{at}.".encode() + body, digests)


def timestamped(text: str) -> tuple[str, list[str]]:
    """Read `t=<unix seconds>,v1=<hex>[,v1=<hex>...]`: the time as sent, and the digests.

    There are several while one secret replaces another. Raises `NotificationRejected`.
    """
    parts = [part.strip().partition("=") for part in text.split(",")]
    times = [value for name, _, value in parts if name == "t" and _TIME.fullmatch(value)]
    digests = [value for name, _, value in parts if name == "v1" and _DIGEST.fullmatch(value)]
    if len(times) != 1 or not digests:
        raise NotificationRejected("The notification carries no signature")
    return times[0], digests
