"""Create identifiers: a prefix that names the kind, and enough randomness to be unguessable."""

import secrets
import string

_ALPHABET = string.ascii_letters + string.digits


def new_id(prefix: str) -> str:
    """Return `ch_` plus 24 random characters, for the prefix `ch`."""
    return f"{prefix}_" + "".join(secrets.choice(_ALPHABET) for _ in range(24))
