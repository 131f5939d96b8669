"""Encryption of single columns; each blob is bound to its row and column."""

import json
from collections.abc import Mapping
from typing import Any, Protocol

from integrator.crypto.data_keys import DataKey, is_encrypted_by_data_key

# Created once: `json.dumps` creates an encoder for every call with options.
_encode_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_encode_context = json.JSONEncoder(ensure_ascii=True, separators=(",", ":")).encode

ERASED = b""
"""Value of a blob whose content was erased."""


class Cipher(Protocol):
    """Authenticated encryption; `context` is associated data and not stored."""

    def encrypt(self, plaintext: bytes, *, context: bytes) -> bytes: ...

    def decrypt(self, blob: bytes, *, context: bytes) -> bytes: ...


class NamedCipher(Cipher, Protocol):
    """Cipher with several keys, of which the first encrypts; each blob contains its key id."""

    @property
    def ids(self) -> tuple[str, ...]: ...


class EnvelopeCipher:
    """Encrypts with a data key; decrypts with it or with the outer cipher."""

    def __init__(self, outer: Cipher, key: DataKey) -> None:
        self._outer = outer
        self._key = key

    def encrypt(self, plaintext: bytes, *, context: bytes) -> bytes:
        return self._key.encrypt(plaintext, context=context)

    def decrypt(self, blob: bytes, *, context: bytes) -> bytes:
        cipher: Cipher = self._key if is_encrypted_by_data_key(blob) else self._outer
        return cipher.decrypt(blob, context=context)


class ColumnCipher:
    """Encrypts values for one cell of the database.

    `context` is its table, column and row identity. A blob copied to another row or column cannot
    be decrypted there; the cipher's error passes through.
    """

    def __init__(self, cipher: Cipher) -> None:
        self._cipher = cipher

    def with_data_key(self, key: bytes) -> "ColumnCipher":
        """Return a cipher that encrypts with a data key; it decrypts with that or this cipher."""
        return ColumnCipher(EnvelopeCipher(self._cipher, DataKey(key)))

    def encrypt(self, plaintext: bytes, *context: str | int) -> bytes:
        return self._cipher.encrypt(plaintext, context=_serialize_context(context))

    def decrypt(self, blob: bytes, *context: str | int) -> bytes:
        return self._cipher.decrypt(blob, context=_serialize_context(context))

    def encrypt_json(self, value: Mapping[str, Any], *context: str | int) -> bytes:
        return self.encrypt(_encode_json(dict(value)).encode(), *context)

    def decrypt_json(self, blob: bytes, *context: str | int) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.decrypt(blob, *context))
        return value


def _serialize_context(context: tuple[str | int, ...]) -> bytes:
    # JSON separates the parts unambiguously: ("a", "b/c") and ("a/b", "c") must differ.
    return _encode_context(context).encode()
