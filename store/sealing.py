"""Encryption of single columns, each blob bound to the row and column it belongs to."""

import json
from collections.abc import Mapping
from typing import Any, Protocol


class Cipher(Protocol):
    """Authenticated encryption; `context` is authenticated along, and not stored."""

    def encrypt(self, plaintext: bytes, *, context: bytes) -> bytes: ...

    def decrypt(self, blob: bytes, *, context: bytes) -> bytes: ...


class Vault:
    """Seals values for one place in the database: a table, a column and a row's identity.

    A blob copied to another row or column does not open there; the cipher's error passes through.
    """

    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher

    def seal(self, plaintext: bytes, *place: str | int) -> bytes:
        return self._cipher.encrypt(plaintext, context=_context(place))

    def open(self, blob: bytes, *place: str | int) -> bytes:
        return self._cipher.decrypt(blob, context=_context(place))

    def seal_json(self, value: Mapping[str, Any], *place: str | int) -> bytes:
        text = json.dumps(dict(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        return self.seal(text.encode(), *place)

    def open_json(self, blob: bytes, *place: str | int) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.open(blob, *place))
        return value


def _context(place: tuple[str | int, ...]) -> bytes:
    # JSON keeps the parts apart: ("a", "b/c") and ("a/b", "c") must differ.
    return json.dumps(place, ensure_ascii=True, separators=(",", ":")).encode()
