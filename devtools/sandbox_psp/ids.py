"""Identifiers: a prefix that names the kind, then enough randomness that nobody guesses one."""

import secrets
import string

_ALPHABET = string.ascii_letters + string.digits


def new_id(prefix: str) -> str:
    """`ch_` plus 24 random characters, for the prefix `ch`."""
    return f"{prefix}_" + "".join(secrets.choice(_ALPHABET) for _ in range(24))
