"""HMAC signatures of notifications, verified in constant time over the raw body."""

import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

from pydantic import SecretStr

from integrator.psp.errors import NotificationRejected
from integrator.psp.toolkit.secrets import split_secrets

TOLERANCE_SECONDS = 300
_TIME = re.compile(r"[0-9]{1,12}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


def get_header(headers: Mapping[str, str], name: str) -> str:
    """Return a header by its name in any case; empty if it is missing."""
    return next((text for key, text in headers.items() if key.lower() == name.lower()), "")


def require_hmac_sha256(secrets: Iterable[str], signed: bytes, digests: Sequence[str]) -> None:
    """Raise `NotificationRejected` unless one hex digest was made with one of the secrets."""
    expected = [hmac.new(s.encode(), signed, hashlib.sha256).hexdigest() for s in secrets]
    # A list, not a generator: the time must not reveal which one matched.
    matches = [hmac.compare_digest(e.encode(), d.encode()) for e in expected for d in digests]
    if not any(matches):
        raise NotificationRejected("The notification's signature is wrong")


def require_fresh(at: float, now: datetime, tolerance: float = TOLERANCE_SECONDS) -> None:
    """Raise `NotificationRejected` for a time (unix seconds) too far from now, either way."""
    if abs(now.timestamp() - at) > tolerance:
        raise NotificationRejected("The notification is too old, or from the future")


def require_past(at: datetime, now: datetime, tolerance: float = TOLERANCE_SECONDS) -> None:
    """Raise `NotificationRejected` for a time in the future.

    For PSPs whose repetitions carry the time of the first delivery.
    """
    if (at - now).total_seconds() > tolerance:
        raise NotificationRejected("The notification is from the future")


def require_timestamped_signature(
    secrets: SecretStr, headers: Mapping[str, str], name: str, body: bytes, now: datetime
) -> None:
    """Raise `NotificationRejected` unless header `name` is a recent signature of the body.

    The header has the form `t=<unix seconds>,v1=<hex>`, computed over `<unix seconds>.<body>`.
    """
    at, digests = parse_timestamped_signature(get_header(headers, name))
    require_fresh(int(at), now)
    require_hmac_sha256(split_secrets(secrets), f"{at}.".encode() + body, digests)


def parse_timestamped_signature(text: str) -> tuple[str, list[str]]:
    """Parse `t=<unix seconds>,v1=<hex>[,v1=<hex>...]` into the time as sent and the digests.

    There are several digests during a rotation of secrets. Raises `NotificationRejected`.
    """
    parts = [part.strip().partition("=") for part in text.split(",")]
    times = [value for name, _, value in parts if name == "t" and _TIME.fullmatch(value)]
    digests = [value for name, _, value in parts if name == "v1" and _DIGEST.fullmatch(value)]
    if len(times) != 1 or not digests:
        raise NotificationRejected("The notification has no readable signature")
    return times[0], digests
