"""Data keys, and the identification of a blob's key."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from integrator.crypto.data_keys import DataKey, generate_data_key, is_encrypted_by_data_key
from integrator.crypto.keys import DecryptionError, KeyRing, blob_header, blob_key_id

KEY = bytes(range(32))


@given(plaintext=st.binary(max_size=200), context=st.binary(max_size=50))
def test_decryption_needs_the_key_and_the_context(plaintext: bytes, context: bytes) -> None:
    blob = DataKey(KEY).encrypt(plaintext, context=context)
    assert DataKey(KEY).decrypt(blob, context=context) == plaintext
    with pytest.raises(DecryptionError):
        DataKey(KEY).decrypt(blob, context=context + b"x")
    with pytest.raises(DecryptionError):
        DataKey(generate_data_key()).decrypt(blob, context=context)


def test_every_changed_or_missing_byte_is_detected() -> None:
    blob = DataKey(KEY).encrypt(b"secret", context=b"c")
    for index in range(len(blob)):
        for bit in range(8):
            changed = bytearray(blob)
            changed[index] ^= 1 << bit
            with pytest.raises(DecryptionError):
                DataKey(KEY).decrypt(bytes(changed), context=b"c")
        with pytest.raises(DecryptionError):
            DataKey(KEY).decrypt(blob[:index], context=b"c")


@given(blob=st.binary(max_size=100))
def test_random_bytes_cannot_be_decrypted(blob: bytes) -> None:
    with pytest.raises(DecryptionError):
        DataKey(KEY).decrypt(blob, context=b"")


def test_keys_are_random_and_long_enough() -> None:
    keys = {generate_data_key() for _ in range(50)}
    assert len(keys) == 50
    assert {len(key) for key in keys} == {32}


def test_the_first_bytes_of_a_blob_identify_its_key() -> None:
    by_ring = KeyRing({"k.1": KEY, "k.10": KEY}).encrypt(b"x", context=b"")
    by_data_key = DataKey(KEY).encrypt(b"x", context=b"")
    assert (blob_key_id(by_ring), is_encrypted_by_data_key(by_ring)) == ("k.1", False)
    assert (blob_key_id(by_data_key), is_encrypted_by_data_key(by_data_key)) == (None, True)
    assert by_ring.startswith(blob_header("k.1"))
    assert not by_ring.startswith(blob_header("k.10"))
    assert KeyRing({"a": KEY, "b": KEY}).ids == ("a", "b")


@pytest.mark.parametrize("blob", [b"", b"\1", b"\1\0", b"\1\3ab", b"\1\1 x", b"\3\1ab"])
def test_a_malformed_blob_has_no_key_id(blob: bytes) -> None:
    assert blob_key_id(blob) is None
