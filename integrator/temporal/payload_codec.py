"""Encryption of all payloads in Temporal: arguments, results, messages, memos and failures.

The server, its database and its Web UI see ciphertext. Ids, names, types of failures and search
attributes stay readable, so they must not contain personal data.
"""

import dataclasses
from collections.abc import Sequence

from temporalio.api.common.v1 import Payload
from temporalio.contrib.pydantic import PydanticPayloadConverter, pydantic_data_converter
from temporalio.converter import (
    CompositePayloadConverter,
    DataConverter,
    DefaultFailureConverterWithEncodedAttributes,
    PayloadCodec,
)

from integrator.crypto.keys import KeyRing

ENCODING = b"binary/encrypted"
_CONTEXT = b"temporal payload"


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


class PydanticConverter(CompositePayloadConverter):
    """Payload converter for Pydantic models whose instances share their type adapters.

    The SDK creates one for each workflow; each would otherwise build its type adapters again.
    """

    def __init__(self) -> None:
        super().__init__(*_CONVERTERS)


_CONVERTERS = tuple(PydanticPayloadConverter().converters.values())


def encrypting_converter(keys: KeyRing) -> DataConverter:
    """Create a converter for encrypted Pydantic models and encrypted failure details."""
    return dataclasses.replace(
        pydantic_data_converter,
        payload_converter_class=PydanticConverter,
        payload_codec=EncryptingCodec(keys),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )
