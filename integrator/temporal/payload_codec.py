"""Encryption of everything Temporal keeps: arguments, results, messages, memos and failures.

The server, its database and its Web UI see ciphertext; what stays readable are ids, names, the
types of failures and search attributes, so nothing personal may be in those.
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
    """AES-256-GCM with the key ring; the key's id is part of each payload."""

    def __init__(self, keys: KeyRing) -> None:
        self._keys = keys

    async def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Each payload sealed whole, its metadata included."""
        return [self._sealed(payload) for payload in payloads]

    async def decode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """What `encode` made of them; payloads in another encoding come back as they are.

        Raises `DecryptionError`.
        """
        return [self._opened(payload) for payload in payloads]

    def _sealed(self, payload: Payload) -> Payload:
        sealed = self._keys.encrypt(payload.SerializeToString(), context=_CONTEXT)
        return Payload(metadata={"encoding": ENCODING}, data=sealed)

    def _opened(self, payload: Payload) -> Payload:
        if payload.metadata.get("encoding") != ENCODING:
            return payload
        return Payload.FromString(self._keys.decrypt(payload.data, context=_CONTEXT))


class PydanticConverter(CompositePayloadConverter):
    """The SDK's for Pydantic models. It makes one for each workflow; these share what they know.

    Otherwise each would find out anew how to read the types of its messages.
    """

    def __init__(self) -> None:
        super().__init__(*_CONVERTERS)


_CONVERTERS = tuple(PydanticPayloadConverter().converters.values())


def encrypting_converter(keys: KeyRing) -> DataConverter:
    """Pydantic models, encrypted; failures carry neither their message nor their trace in clear."""
    return dataclasses.replace(
        pydantic_data_converter,
        payload_converter_class=PydanticConverter,
        payload_codec=EncryptingCodec(keys),
        failure_converter_class=DefaultFailureConverterWithEncodedAttributes,
    )
