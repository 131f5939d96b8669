"""Secrets in settings forms: validation, comparison, and several at once during a rotation."""

import hashlib
import hmac
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

MAX_SECRETS = 4
"""Maximum number of webhook secrets at once; more than any rotation needs."""


def _require_printable(secret: SecretStr) -> SecretStr:
    # Anything else cannot be sent in a header, and the HTTP library's error would show it.
    if not all("!" <= character <= "~" for character in secret.get_secret_value()):
        raise ValueError("printable ASCII without blanks")
    return secret


def _require_secret_list(secret: SecretStr) -> SecretStr:
    parts = split_secrets(secret)
    if not 1 <= len(parts) <= MAX_SECRETS:
        raise ValueError(f"one to {MAX_SECRETS} secrets, separated by commas")
    for part in parts:
        _require_printable(SecretStr(part))
    return secret


Secret = Annotated[SecretStr, Field(min_length=1), AfterValidator(_require_printable)]
"""One secret."""

Secrets = Annotated[SecretStr, Field(min_length=1), AfterValidator(_require_secret_list)]
"""One secret, or the new and the old ones separated by commas; see `split_secrets`."""


def split_secrets(secrets: SecretStr) -> list[str]:
    """Return the single secrets, in the order they were entered."""
    return [part.strip() for part in secrets.get_secret_value().split(",") if part.strip()]


def matches_any(secret: str | None, entered: Iterable[str]) -> bool:
    """Return whether a secret (or its hash) is one of those entered, in constant time."""
    # A list, not a generator: the time must not reveal which one matched.
    matches = [hmac.compare_digest(e.encode(), (secret or "").encode()) for e in entered]
    return any(matches)


def fingerprint(secret: SecretStr) -> str:
    """Return a name for the account of a secret that does not reveal the secret."""
    return hashlib.sha256(secret.get_secret_value().encode()).hexdigest()[:16]
