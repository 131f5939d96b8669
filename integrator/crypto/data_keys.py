"""Random data keys, one per agreement, stored only wrapped by the key ring."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from integrator.crypto.keys import DecryptionError

VERSION = b"\x02"
_NONCE_BYTES = 12
_KEY_BYTES = 32


class DataKey:
    """AES-256-GCM with one key: destroying the key destroys what it encrypted.

    A blob is: version (1 byte, different from the key ring's), nonce (12 bytes), ciphertext with
    tag. The version is authenticated with the context.
    """

    def __init__(self, key: bytes) -> None:
        """Create a cipher; `key` has 32 bytes, see `generate_data_key`."""
        self._cipher = AESGCM(key)

    def encrypt(self, plaintext: bytes, *, context: bytes) -> bytes:
        """Encrypt into a blob that can be decrypted with the same context only."""
        nonce = os.urandom(_NONCE_BYTES)
        return VERSION + nonce + self._cipher.encrypt(nonce, plaintext, VERSION + context)

    def decrypt(self, blob: bytes, *, context: bytes) -> bytes:
        """Return the plaintext of a blob; raises `DecryptionError`."""
        if not is_encrypted_by_data_key(blob):
            raise DecryptionError("the blob is not encrypted with a data key")
        nonce, ciphertext = blob[1:][:_NONCE_BYTES], blob[1 + _NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, ciphertext, VERSION + context)
        except (InvalidTag, ValueError) as error:
            raise DecryptionError("the encrypted blob was changed or belongs elsewhere") from error


def generate_data_key() -> bytes:
    """Return 32 random bytes."""
    return os.urandom(_KEY_BYTES)


def is_encrypted_by_data_key(blob: bytes) -> bool:
    """Return whether a data key, and not the key ring, has encrypted a blob."""
    return blob[:1] == VERSION
