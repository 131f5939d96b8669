"""Encryption of single columns, each blob bound to the row and column it belongs to."""

import json
from collections.abc import Mapping
from typing import Any, Protocol

from integrator.crypto.data_keys import DataKey, is_sealed_by_data_key

# Made once: `json.dumps` makes an encoder for every call that is not of its plainest form.
_json_of = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_context_of = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode

ERASED = b""
"""What is left of a blob whose content was erased."""


class Cipher(Protocol):
    """Authenticated encryption; `context` is authenticated along, and not stored."""

    def encrypt(self, plaintext: bytes, *, context: bytes) -> bytes: ...

    def decrypt(self, blob: bytes, *, context: bytes) -> bytes: ...


class NamedCipher(Cipher, Protocol):
    """A cipher with several keys, of which the first encrypts; each blob names its key."""

    @property
    def ids(self) -> tuple[str, ...]: ...


class Envelope:
    """Seals with a data key; opens what it has sealed, and what the outer cipher has."""

    def __init__(self, outer: Cipher, key: DataKey) -> None:
        self._outer = outer
        self._key = key

    def encrypt(self, plaintext: bytes, *, context: bytes) -> bytes:
        return self._key.encrypt(plaintext, context=context)

    def decrypt(self, blob: bytes, *, context: bytes) -> bytes:
        cipher: Cipher = self._key if is_sealed_by_data_key(blob) else self._outer
        return cipher.decrypt(blob, context=context)


class ColumnCipher:
    """Seals values for one place in the database: a table, a column and a row's identity.

    A blob copied to another row or column does not open there; the cipher's error passes through.
    """

    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher

    def inner(self, key: bytes) -> "ColumnCipher":
        """A vault that seals with a data key and opens what either has sealed."""
        return ColumnCipher(Envelope(self._cipher, DataKey(key)))

    def seal(self, plaintext: bytes, *place: str | int) -> bytes:
        return self._cipher.encrypt(plaintext, context=_context(place))

    def open(self, blob: bytes, *place: str | int) -> bytes:
        return self._cipher.decrypt(blob, context=_context(place))

    def seal_json(self, value: Mapping[str, Any], *place: str | int) -> bytes:
        return self.seal(_json_of(dict(value)).encode(), *place)

    def open_json(self, blob: bytes, *place: str | int) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.open(blob, *place))
        return value


def _context(place: tuple[str | int, ...]) -> bytes:
    # JSON keeps the parts apart: ("a", "b/c") and ("a/b", "c") must differ.
    return _context_of(place).encode()
