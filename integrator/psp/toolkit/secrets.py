"""Secrets in settings forms: their shape, and several at once while one replaces another."""

import hashlib
import hmac
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

PLACES = 4
"""More webhook secrets at once than any rotation needs."""


def _printable(secret: SecretStr) -> SecretStr:
    # Anything else cannot travel in a header, and the error of the HTTP library would show it.
    if not all("!" <= character <= "~" for character in secret.get_secret_value()):
        raise ValueError("printable ASCII without blanks")
    return secret


def _several(secret: SecretStr) -> SecretStr:
    parts = split(secret)
    if not 1 <= len(parts) <= PLACES:
        raise ValueError(f"one to {PLACES} secrets, separated by commas")
    for part in parts:
        _printable(SecretStr(part))
    return secret


Secret = Annotated[SecretStr, Field(min_length=1), AfterValidator(_printable)]
"""One secret."""

Secrets = Annotated[SecretStr, Field(min_length=1), AfterValidator(_several)]
"""One secret, or the new and the old ones separated by commas; read with `split`."""


def split(secrets: SecretStr) -> list[str]:
    """The single secrets, in the order they were entered."""
    return [part.strip() for part in secrets.get_secret_value().split(",") if part.strip()]


def is_known(secret: str | None, entered: Iterable[str]) -> bool:
    """Whether a secret (or its hash) is one of those entered; takes the same time whichever."""
    # A list, not a generator: the time taken must not tell which one matched.
    matches = [hmac.compare_digest(one.encode(), (secret or "").encode()) for one in entered]
    return any(matches)


def tell_apart(secret: SecretStr) -> str:
    """A name for whatever the secret opens, from which it cannot be found again."""
    return hashlib.sha256(secret.get_secret_value().encode()).hexdigest()[:16]
