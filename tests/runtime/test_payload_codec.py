"""What Temporal is given is ciphertext, and only the keys open it."""

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


async def test_nothing_of_a_payload_stays_readable() -> None:
    (sealed,) = await codec(new=NEW).encode([payload()])
    assert sealed.metadata == {"encoding": ENCODING}
    assert b"Mia" not in sealed.SerializeToString()
    assert b"Person" not in sealed.SerializeToString()
    assert await codec(new=NEW).decode([sealed]) == [payload()]


async def test_equal_payloads_do_not_look_equal() -> None:
    first, second = await codec(new=NEW).encode([payload(), payload()])
    assert first.data != second.data


async def test_old_keys_still_open_what_they_sealed() -> None:
    (sealed,) = await codec(old=OLD).encode([payload()])
    assert await codec(new=NEW, old=OLD).decode([sealed]) == [payload()]
    with pytest.raises(DecryptionError, match="unknown key id 'old'"):
        await codec(new=NEW).decode([sealed])


async def test_a_changed_payload_is_not_opened() -> None:
    (sealed,) = await codec(new=NEW).encode([payload()])
    changed = Payload(
        metadata=sealed.metadata, data=sealed.data[:-1] + bytes([sealed.data[-1] ^ 1])
    )
    with pytest.raises(DecryptionError):
        await codec(new=NEW).decode([changed])


async def test_foreign_encodings_pass() -> None:
    assert await codec(new=NEW).decode([payload()]) == [payload()]


async def test_failures_hide_their_words() -> None:
    converter = encrypting_converter(KeyRing({"new": NEW}))
    failure = Failure()
    await converter.encode_failure(ApplicationError("Mia Kern", "DE89", type="Broken"), failure)
    assert b"Mia" not in failure.SerializeToString()
    assert b"DE89" not in failure.SerializeToString()
    assert failure.application_failure_info.type == "Broken"
    error = await converter.decode_failure(failure)
    assert isinstance(error, ApplicationError)
    assert (error.message, tuple(error.details)) == ("Mia Kern", ("DE89",))
