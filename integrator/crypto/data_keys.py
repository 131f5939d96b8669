"""Random keys for the data of one person each, kept only wrapped by the key ring."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from integrator.crypto.keys import DecryptionError

VERSION = b"\x02"
_NONCE_BYTES = 12
_KEY_BYTES = 32


class DataKey:
    """AES-256-GCM with one key: without the key, what it encrypted is gone for good.

    A blob is: version (1 byte, never that of the key ring), nonce (12 bytes), ciphertext with tag.
    The version is authenticated with the context.
    """

    def __init__(self, key: bytes) -> None:
        """`key`: 32 bytes; see `new_key`."""
        self._cipher = AESGCM(key)

    def encrypt(self, plaintext: bytes, *, context: bytes) -> bytes:
        """A blob that `decrypt` opens with the same context only."""
        nonce = os.urandom(_NONCE_BYTES)
        return VERSION + nonce + self._cipher.encrypt(nonce, plaintext, VERSION + context)

    def decrypt(self, blob: bytes, *, context: bytes) -> bytes:
        """The plaintext of a blob; raises `DecryptionError`."""
        if not is_sealed_by_data_key(blob):
            raise DecryptionError("not a blob that a data key has sealed")
        nonce, sealed = blob[1:][:_NONCE_BYTES], blob[1 + _NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, sealed, VERSION + context)
        except (InvalidTag, ValueError) as error:
            raise DecryptionError("the encrypted blob was changed or belongs elsewhere") from error


def new_key() -> bytes:
    """32 random bytes."""
    return os.urandom(_KEY_BYTES)


def is_sealed_by_data_key(blob: bytes) -> bool:
    """Whether a data key, and not the key ring, has sealed a blob."""
    return blob[:1] == VERSION
