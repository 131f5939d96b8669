"""Payloads for Temporal are ciphertext that only the keys can decrypt."""

import os

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.exceptions import ApplicationError

from integrator.crypto.keys import DecryptionError, KeyRing
from integrator.temporal.payload_codec import ENCODING, EncryptingCodec, encrypting_converter

OLD, NEW = os.urandom(32), os.urandom(32)


def codec(**keys: bytes) -> EncryptingCodec:
    return EncryptingCodec(KeyRing(keys))


def payload(text: bytes = b'"Mia Kern"') -> Payload:
    return Payload(metadata={"encoding": b"json/plain", "messageType": b"Person"}, data=text)


async def test_a_payload_is_encrypted_with_its_metadata() -> None:
    (encrypted,) = await codec(new=NEW).encode([payload()])
    assert encrypted.metadata == {"encoding": ENCODING}
    assert b"Mia" not in encrypted.SerializeToString()
    assert b"Person" not in encrypted.SerializeToString()
    assert await codec(new=NEW).decode([encrypted]) == [payload()]


async def test_equal_payloads_have_different_ciphertexts() -> None:
    first, second = await codec(new=NEW).encode([payload(), payload()])
    assert first.data != second.data


async def test_old_keys_still_decrypt() -> None:
    (encrypted,) = await codec(old=OLD).encode([payload()])
    assert await codec(new=NEW, old=OLD).decode([encrypted]) == [payload()]
    with pytest.raises(DecryptionError, match="unknown key id 'old'"):
        await codec(new=NEW).decode([encrypted])


async def test_a_changed_payload_is_rejected() -> None:
    (encrypted,) = await codec(new=NEW).encode([payload()])
    changed = Payload(
        metadata=encrypted.metadata, data=encrypted.data[:-1] + bytes([encrypted.data[-1] ^ 1])
    )
    with pytest.raises(DecryptionError):
        await codec(new=NEW).decode([changed])


async def test_other_encodings_pass_unchanged() -> None:
    assert await codec(new=NEW).decode([payload()]) == [payload()]


async def test_failure_messages_are_encrypted() -> None:
    converter = encrypting_converter(KeyRing({"new": NEW}))
    failure = Failure()
    await converter.encode_failure(ApplicationError("Mia Kern", "DE89", type="Broken"), failure)
    assert b"Mia" not in failure.SerializeToString()
    assert b"DE89" not in failure.SerializeToString()
    assert failure.application_failure_info.type == "Broken"
    error = await converter.decode_failure(failure)
    assert isinstance(error, ApplicationError)
    assert (error.message, tuple(error.details)) == ("Mia Kern", ("DE89",))
