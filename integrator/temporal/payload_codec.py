"""Encryption of all payloads in Temporal: arguments, results, messages, memos and failures.

The server, its database and its Web UI see ciphertext. Ids, names, types of failures and search
attributes stay readable, so they must not contain personal data.
"""

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, Protocol

from google.protobuf.message import DecodeError
from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import PydanticPayloadConverter, pydantic_data_converter
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    EncodingPayloadConverter,
    PayloadCodec,
)
from temporalio.exceptions import ApplicationError

from integrator import sealing
from integrator.crypto.keys import (
    FAILURES,
    DecryptionError,
    KeyRing,
    UnknownKeyError,
    blob_key_id,
)

ENCODING = sealing.ENCRYPTED
_CONTEXT = b"temporal payload"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class KeyIds(Protocol):
    """Ids of all keys that any process has ever had in its ring."""

    async def require_registered(self) -> None:
        """Wait until the active key may encrypt: every process can find its id."""

    async def known_since(self, key_id: str) -> datetime | None:
        """Return since when a key is known; None if no process ever had it."""


class EncryptingCodec(PayloadCodec):
    """Codec with AES-256-GCM and the key ring; each payload contains the key's id."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Encrypt each payload as a whole, including its metadata."""
        return [self._encrypt(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Decrypt what `encode` encrypted; payloads in another encoding are returned unchanged.

        Raises `DecryptionError`.
        """
        return [self._decrypt(payload) for payload in payloads]

    def _encrypt(self, payload: Payload) -> Payload:
        ciphertext = self._keys.encrypt(payload.SerializeToString(), context=_CONTEXT)
        return Payload(metadata={"encoding": ENCODING}, data=ciphertext)

    def _decrypt(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return payload
        return Payload.FromString(self._keys.decrypt(payload.data, context=_CONTEXT))


class SealingCodec(EncryptingCodec):
    """Codec of the processes that send to and run workflows: it never fails on a payload's content.

    What was encrypted with a key of the ring is marked as sealed (`integrator.sealing`); what
    cannot be decrypted becomes an unreadable payload with the reason. The receiver decides: a
    workflow drops a message that no key of ours can open, and waits for a key that it lacks.
    """

    def __init__(self, keys: KeyRing, key_ids: KeyIds) -> None:
        super().__init__(keys)
        self._key_ids = key_ids
        self._marks: dict[str, dict[str, bytes]] = {}

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Encrypt each payload, the first time after the key ring has been registered."""
        await self._key_ids.require_registered()
        return await super().encode(payloads)

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Decrypt and mark; raises `StoreError` when a key's id cannot be looked up."""
        return [await self._open(payload) for payload in payloads]

    async def _open(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return _without_marks(payload)
        try:
            plaintext = self._keys.decrypt_untrusted(payload.data, context=_CONTEXT)
            opened = Payload.FromString(plaintext)
        except UnknownKeyError as error:
            return _unreadable(str(error), await self._marks_of_missing(error.key_id))
        except (DecryptionError, DecodeError) as error:
            return _unreadable(str(error), {})
        key_id = blob_key_id(payload.data) or ""
        marks = self._marks.get(key_id)
        if marks is None:
            marks = self._marks[key_id] = await self._marks_of_own(key_id)
        for name, value in marks.items():
            opened.metadata[name] = value
        return opened

    async def _marks_of_own(self, key_id: str) -> dict[str, bytes]:
        since = await self._key_ids.known_since(key_id)
        if since is None:
            # Not registered yet: this process has only just begun, and encrypts nothing so far.
            await self._key_ids.require_registered()
            since = await self._key_ids.known_since(key_id)
        if since is None:
            raise DecryptionError(
                f"The key {key_id!r} is not registered in the store. Restart this process."
            )
        return {sealing.SEALED_BY: key_id.encode(), **_known_since(since)}

    async def _marks_of_missing(self, key_id: str) -> dict[str, bytes]:
        since = await self._key_ids.known_since(key_id)
        if since is None:
            return {}
        key = {sealing.KEY_ID: key_id.encode()}
        return key | {sealing.KNOWN_SINCE: b"0"} | _known_since(since)


def _known_since(since: datetime) -> dict[str, bytes]:
    microseconds = (since - _EPOCH) // timedelta(microseconds=1)
    return {sealing.KNOWN_SINCE: b"%d" % microseconds} if microseconds else {}


def _unreadable(reason: str, marks: dict[str, bytes]) -> Payload:
    return Payload(metadata={"encoding": sealing.UNREADABLE, **marks}, data=reason.encode())


def _without_marks(payload: Payload) -> Payload:
    """Return a payload that was not encrypted, without marks that only this codec may set."""
    metadata = payload.metadata
    if metadata.get("encoding") in sealing.MARK_ENCODINGS:
        return _unreadable("unknown encoding", {})
    if not any(mark in metadata for mark in sealing.MARKS):
        return payload
    copy = Payload()
    copy.CopyFrom(payload)
    for mark in sealing.MARKS:
        if mark in copy.metadata:
            del copy.metadata[mark]
    return copy


class _MarkConverter(EncodingPayloadConverter):
    """Converter of payloads that only the codec and the guard of messages create."""

    def to_payload(self, value: Any) -> None:
        return None


class _UnreadableConverter(_MarkConverter):
    @property
    def encoding(self) -> str:
        return sealing.UNREADABLE.decode()

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> NoReturn:
        FAILURES.inc()
        raise DecryptionError(payload.data.decode())


class _RefusedConverter(_MarkConverter):
    @property
    def encoding(self) -> str:
        return sealing.REFUSED.decode()

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> NoReturn:
        raise ApplicationError(payload.data.decode(), type="MessageRefused", non_retryable=True)


class _SealsRequiredConverter(_MarkConverter):
    """Answer to `sealing.seals_required`."""

    @property
    def encoding(self) -> str:
        return sealing.SEALS_REQUIRED.decode()

    def from_payload(self, payload: Payload, type_hint: type | None = None) -> bool:
        return True


class PydanticConverter(CompositePayloadConverter):
    """Payload converter for Pydantic models whose instances share their type adapters.

    The SDK creates one for each workflow; each would otherwise build its type adapters again.
    """

    def __init__(self) -> None:
        super().__init__(*_CONVERTERS)


class SealedConverter(PydanticConverter):
    """The same for a codec that seals: results of activities are evidence only if sealed."""

    def __init__(self) -> None:
        CompositePayloadConverter.__init__(self, *_CONVERTERS, _SEALS_REQUIRED)


_CONVERTERS = (
    *PydanticPayloadConverter().converters.values(),
    _UnreadableConverter(),
    _RefusedConverter(),
)
_SEALS_REQUIRED = _SealsRequiredConverter()


def encrypting_converter(keys: KeyRing, key_ids: KeyIds | None = None) -> DataConverter:
    """Create a converter for encrypted Pydantic models and encrypted failure details.

    A worker needs `key_ids`. Without them every payload that cannot be decrypted raises
    `DecryptionError`, and nothing is marked as sealed.
    """
    codec = EncryptingCodec(keys) if key_ids is None else SealingCodec(keys, key_ids)
    return dataclasses.replace(
        pydantic_data_converter,
        payload_converter_class=PydanticConverter if key_ids is None else SealedConverter,
        payload_codec=codec,
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )
