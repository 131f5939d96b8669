"""Malformed signals are what their kind says."""

import random

import pytest
from temporalio.api.common.v1 import Payload

from devtools.campaign.malformed_signals import MALFORMATIONS, MalformedSignals
from integrator.crypto.keys import DecryptionError, KeyRing, generate_key
from integrator.temporal.payload_codec import EncryptingCodec

KEYS = KeyRing.parse(f"own:{generate_key()}")
CODEC = EncryptingCodec(KEYS)


async def draw(kind: str, seed: int = 1) -> list[Payload]:
    return list(await MalformedSignals(KEYS).payloads(kind, random.Random(seed)))  # noqa: S311 - repeatable


@pytest.mark.parametrize("kind", MALFORMATIONS)
async def test_the_number_of_arguments_is_that_of_the_kind(kind: str) -> None:
    expected = {"no argument": 0, "too many arguments": 3}.get(kind, 1)
    assert len(await draw(kind)) == expected


@pytest.mark.parametrize("kind", ["unknown key", "truncated"])
async def test_what_cannot_be_decrypted(kind: str) -> None:
    for seed in range(20):
        with pytest.raises(DecryptionError):
            await CODEC.decode(await draw(kind, seed))


async def test_a_wrong_type_is_encrypted_as_the_product_does() -> None:
    (decrypted,) = await CODEC.decode(await draw("wrong type"))
    assert decrypted.metadata["encoding"] == b"json/plain"


@pytest.mark.parametrize("kind", ["garbage", "unknown encoding"])
async def test_what_is_not_encrypted_is_passed_on(kind: str) -> None:
    payloads = await draw(kind)
    assert await CODEC.decode(payloads) == payloads
