"""Encryption of data at rest: AES-256-GCM with a ring of named keys, so that keys can rotate."""

import base64
import binascii
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from integrator.observability.metrics import counter
from integrator.settings import Settings

FAILURES = counter(
    "integrator_decryption_failures_total",
    "Blobs that could not be decrypted: a key is missing, or the stored data was changed",
)

_VERSION = 1
_KEY_BYTES = 32
_NONCE_BYTES = 12
_TAG_BYTES = 16
_KEY_ID = re.compile(r"[A-Za-z0-9._-]{1,32}")


class KeyConfigurationError(Exception):
    """The configured keys cannot be used. The message never contains a key."""


class DecryptionError(Exception):
    """A blob was not encrypted with these keys for this context, or was changed."""


class UnknownKeyError(DecryptionError):
    """The ring lacks the key that a blob names."""

    def __init__(self, key_id: str) -> None:
        """Take the id that the blob names."""
        super().__init__(f"unknown key id {key_id!r}")
        self.key_id = key_id


class KeyRing:
    """Cipher that encrypts with its first key and decrypts with any.

    A blob is: version (1 byte), length of the key id (1 byte), key id, nonce (12 bytes),
    ciphertext with tag. All but the nonce and ciphertext are authenticated with the context.
    """

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        """Create a ring; `keys` maps ids to 32 bytes each, the active key first.

        Raises `KeyConfigurationError`.
        """
        if not keys:
            raise KeyConfigurationError("no encryption keys are configured")
        for key_id, key in keys.items():
            if not _KEY_ID.fullmatch(key_id):
                raise KeyConfigurationError("a key id is 1 to 32 letters, digits, '.', '_' or '-'")
            if len(key) != _KEY_BYTES:
                raise KeyConfigurationError(f"key {key_id!r} must have {_KEY_BYTES} bytes")
        self._keys = dict(keys)
        self._ciphers = {key_id: AESGCM(key) for key_id, key in keys.items()}
        self._active = next(iter(keys))

    def __repr__(self) -> str:
        return f"KeyRing(active={self._active!r}, ids={list(self._ciphers)!r})"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `id:base64` entries, separated by commas or white space.

        Raises `KeyConfigurationError`.
        """
        keys: dict[str, bytes] = {}
        for number, entry in enumerate(re.split(r"[,\s]+", text.strip(", \t\r\n")), start=1):
            key_id, colon, encoded = entry.partition(":")
            if not colon:
                raise KeyConfigurationError(f"key number {number} is not of the form id:base64")
            if key_id in keys:
                raise KeyConfigurationError(f"key number {number} has the id of an earlier one")
            keys[key_id] = _decode(encoded, number)
        return cls(keys)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Load the configured keys; in development without any, the key in `<data_dir>/keys`.

        That file is created on first use, with mode 0600; processes that start at the same time
        use the same key. Raises `KeyConfigurationError`, in production also when no keys are
        configured.
        """
        if settings.keys is not None:
            return cls.parse(settings.keys.get_secret_value())
        if settings.keys_file is not None:
            return cls.parse(_read_keys_file(settings.keys_file))
        if settings.profile != "development":
            raise KeyConfigurationError("only the development profile creates its own keys")
        file = settings.data_dir / "keys"
        if not file.exists():
            _create_file(file, f"dev-{secrets.token_hex(4)}:{generate_key()}\n")
        return cls.parse(_read_keys_file(file))

    def derive(self, purpose: str) -> dict[str, bytes]:
        """Derive a key of 32 bytes from each key, by key id, the active one first.

        HKDF with SHA-256 (RFC 5869): a derived key reveals nothing about the original key.
        """
        return {key_id: _derive_key(key, purpose) for key_id, key in self._keys.items()}

    def fingerprints(self) -> dict[str, str]:
        """Return a fingerprint of each key by its id: it changes with the key, and reveals nothing.

        The active key comes first.
        """
        return {key_id: key.hex() for key_id, key in self.derive("fingerprint").items()}

    @property
    def ids(self) -> tuple[str, ...]:
        """Return the ids of all keys, the active one first."""
        return tuple(self._ciphers)

    def encrypt(self, plaintext: bytes, *, context: bytes) -> bytes:
        """Encrypt into a blob that can be decrypted with the same context only."""
        header = blob_header(self._active)
        nonce = os.urandom(_NONCE_BYTES)
        ciphertext = self._ciphers[self._active].encrypt(nonce, plaintext, header + context)
        return header + nonce + ciphertext

    def decrypt(self, blob: bytes, *, context: bytes) -> bytes:
        """Return the plaintext of a blob; counts and raises `DecryptionError`."""
        try:
            return self.decrypt_untrusted(blob, context=context)
        except DecryptionError:
            FAILURES.inc()
            raise

    def decrypt_untrusted(self, blob: bytes, *, context: bytes) -> bytes:
        """Return the plaintext of a blob that anyone may have made up; raises `DecryptionError`.

        Nothing is counted: a made-up blob is no sign of a missing key.
        """
        if len(blob) < 2 or blob[0] != _VERSION:
            raise DecryptionError("not an encrypted blob of a known version")
        start = 2 + blob[1]
        if len(blob) < start + _NONCE_BYTES + _TAG_BYTES:
            raise DecryptionError("the encrypted blob is cut short")
        header, nonce, rest = blob[:start], blob[start:][:_NONCE_BYTES], blob[start:]
        key_id = header[2:].decode("ascii", "replace")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise UnknownKeyError(key_id)
        try:
            return cipher.decrypt(nonce, rest[_NONCE_BYTES:], header + context)
        except InvalidTag as error:
            raise DecryptionError("the encrypted blob was changed or belongs elsewhere") from error


def blob_header(key_id: str) -> bytes:
    """Return the first bytes of every blob that the key ring encrypts with this key."""
    return bytes([_VERSION, len(key_id)]) + key_id.encode()


def blob_key_id(blob: bytes) -> str | None:
    """Return the id of the key ring's key that encrypted a blob; None for other blobs."""
    if len(blob) < 2 or blob[0] != _VERSION:
        return None
    encoded = blob[2 : 2 + blob[1]]
    key_id = encoded.decode("ascii", "replace")
    return key_id if len(encoded) == blob[1] and _KEY_ID.fullmatch(key_id) else None


def generate_key() -> str:
    """Return a new random key in base64, for an entry `id:base64`."""
    return base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode()


def _derive_key(key: bytes, purpose: str) -> bytes:
    return HKDF(hashes.SHA256(), _KEY_BYTES, salt=None, info=purpose.encode()).derive(key)


def _decode(encoded: str, number: int) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except binascii.Error:
        # Without the cause, because its traceback would contain the key.
        raise KeyConfigurationError(f"key number {number} is not valid base64") from None


def _read_keys_file(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise KeyConfigurationError(f"cannot read the keys file {file}") from error


def _create_file(file: Path, text: str) -> None:
    """Create a complete file that only its owner can read; keep an existing one."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        try:
            # Unlike a rename, a link does not replace the key another process has just created.
            os.link(temporary, file)
        except FileExistsError:
            return
        _sync_folder(file.parent)
    finally:
        temporary.unlink()


def _sync_folder(folder: Path) -> None:
    # Data encrypted with a key that is lost in a power cut could never be decrypted.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
