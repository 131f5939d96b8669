"""The codec of workers and senders: it marks what it decrypts, and never fails on a content."""

import os
from datetime import UTC, datetime

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.exceptions import ApplicationError

from integrator import sealing
from integrator.crypto.keys import DecryptionError, KeyRing
from integrator.temporal.payload_codec import SealingCodec, encrypting_converter
from tests.support.key_ids import ALWAYS, FakeKeyIds

OLD, NEW = os.urandom(32), os.urandom(32)
LATER = datetime(2026, 1, 15, tzinfo=UTC)
MICROSECONDS = b"1768435200000000"
PLAIN = Payload(metadata={"encoding": b"json/plain"}, data=b'"Mia Kern"')


def codec(ids: FakeKeyIds, **keys: bytes) -> SealingCodec:
    return SealingCodec(KeyRing(keys), ids)


async def encrypt(payload: Payload = PLAIN, **keys: bytes) -> Payload:
    (encrypted,) = await codec(FakeKeyIds(), **keys).encode([payload])
    return encrypted


async def decode(payload: Payload, ids: FakeKeyIds, **keys: bytes) -> Payload:
    (decoded,) = await codec(ids, **keys).decode([payload])
    return decoded


async def test_the_ring_is_registered_before_it_encrypts() -> None:
    ids = FakeKeyIds()
    await codec(ids, new=NEW).encode([PLAIN])
    assert ids.registrations == 1


async def test_a_decrypted_payload_is_marked_with_its_key() -> None:
    encrypted = await encrypt(old=OLD)
    decoded = await decode(encrypted, FakeKeyIds(old=ALWAYS, new=ALWAYS), new=NEW, old=OLD)
    assert decoded.data == PLAIN.data
    assert dict(decoded.metadata) == {"encoding": b"json/plain", "sealed-by": b"old"}
    assert sealing.is_sealed(decoded)


async def test_a_key_that_came_later_is_marked_with_its_time() -> None:
    decoded = await decode(await encrypt(new=NEW), FakeKeyIds(new=LATER), new=NEW)
    assert decoded.metadata[sealing.KNOWN_SINCE] == MICROSECONDS


async def test_a_key_that_no_process_ever_had_leaves_no_mark() -> None:
    decoded = await decode(await encrypt(old=OLD), FakeKeyIds(new=ALWAYS), new=NEW)
    assert dict(decoded.metadata) == {"encoding": sealing.UNREADABLE}
    assert decoded.data == b"unknown key id 'old'"


@pytest.mark.parametrize(("since", "mark"), [(ALWAYS, b"0"), (LATER, MICROSECONDS)])
async def test_a_missing_key_that_another_process_has_is_named(
    since: datetime, mark: bytes
) -> None:
    decoded = await decode(await encrypt(old=OLD), FakeKeyIds(new=ALWAYS, old=since), new=NEW)
    assert decoded.metadata["encoding"] == sealing.UNREADABLE
    assert decoded.metadata[sealing.KEY_ID] == b"old"
    assert decoded.metadata[sealing.KNOWN_SINCE] == mark


@pytest.mark.parametrize("keep", [0, 1, 5, 30, -1])
async def test_a_truncated_payload_is_unreadable(keep: int) -> None:
    encrypted = await encrypt(new=NEW)
    cut = Payload(metadata=encrypted.metadata, data=encrypted.data[:keep])
    decoded = await decode(cut, FakeKeyIds(new=ALWAYS), new=NEW)
    assert dict(decoded.metadata) == {"encoding": sealing.UNREADABLE}


async def test_an_unreadable_payload_cannot_be_converted() -> None:
    converter = encrypting_converter(KeyRing({"new": NEW}), FakeKeyIds(new=ALWAYS))
    with pytest.raises(DecryptionError, match="unknown key id 'old'"):
        await converter.decode([await encrypt(old=OLD)], [str])


@pytest.mark.parametrize("mark", sealing.MARKS)
async def test_a_plain_payload_cannot_carry_a_mark(mark: str) -> None:
    forged = Payload(metadata={"encoding": b"json/plain", mark: b"new"}, data=b"1")
    decoded = await decode(forged, FakeKeyIds(new=ALWAYS), new=NEW)
    assert dict(decoded.metadata) == {"encoding": b"json/plain"}


@pytest.mark.parametrize("encoding", sealing.MARK_ENCODINGS)
async def test_a_plain_payload_cannot_imitate_an_unreadable_one(encoding: bytes) -> None:
    forged = Payload(metadata={"encoding": encoding, sealing.KEY_ID: b"new"}, data=b"1")
    decoded = await decode(forged, FakeKeyIds(new=ALWAYS), new=NEW)
    assert dict(decoded.metadata) == {"encoding": sealing.UNREADABLE}


async def test_a_failure_of_our_own_is_sealed() -> None:
    converter = encrypting_converter(KeyRing({"new": NEW}), FakeKeyIds(new=ALWAYS))
    failure = Failure()
    await converter.encode_failure(ApplicationError("Mia Kern", "DE89", type="Broken"), failure)
    error = await converter.decode_failure(failure)
    assert isinstance(error, ApplicationError)
    assert error.failure is not None
    assert sealing.is_failure_sealed(error.failure)
    assert (error.message, tuple(error.details)) == ("Mia Kern", ("DE89",))
    error.failure.application_failure_info.details.payloads.append(PLAIN)
    assert not sealing.is_failure_sealed(error.failure)
