"""The key ring."""

import base64
import hmac
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from integrator.crypto.keys import DecryptionError, KeyConfigurationError, KeyRing, generate_key
from integrator.settings import Settings

OLD, NEW = bytes(range(32)), bytes(range(32, 64))


@given(plaintext=st.binary(max_size=200), context=st.binary(max_size=50))
def test_decryption_needs_the_key_and_the_context(plaintext: bytes, context: bytes) -> None:
    ring = KeyRing({"k": OLD})
    blob = ring.encrypt(plaintext, context=context)
    assert ring.decrypt(blob, context=context) == plaintext
    with pytest.raises(DecryptionError):
        ring.decrypt(blob, context=context + b"x")


def test_every_changed_or_missing_byte_is_detected() -> None:
    ring = KeyRing({"k1": OLD, "k3": OLD})
    blob = ring.encrypt(b"secret", context=b"c")
    for index in range(len(blob)):
        for bit in range(8):
            changed = bytearray(blob)
            changed[index] ^= 1 << bit
            with pytest.raises(DecryptionError):
                ring.decrypt(bytes(changed), context=b"c")
        with pytest.raises(DecryptionError):
            ring.decrypt(blob[:index], context=b"c")


@given(blob=st.binary(max_size=100))
def test_random_bytes_cannot_be_decrypted(blob: bytes) -> None:
    with pytest.raises(DecryptionError):
        KeyRing({"k": OLD}).decrypt(blob, context=b"")


def test_the_first_key_encrypts_and_all_decrypt() -> None:
    old, both, new = KeyRing({"a": OLD}), KeyRing({"b": NEW, "a": OLD}), KeyRing({"b": NEW})
    assert both.decrypt(old.encrypt(b"x", context=b""), context=b"") == b"x"
    assert new.decrypt(both.encrypt(b"x", context=b""), context=b"") == b"x"
    with pytest.raises(DecryptionError, match="unknown key id 'b'"):
        old.decrypt(both.encrypt(b"x", context=b""), context=b"")


def test_the_same_plaintext_never_gives_the_same_blob() -> None:
    ring = KeyRing({"k": OLD})
    assert len({ring.encrypt(b"x", context=b"") for _ in range(50)}) == 50


def test_keys_are_parsed_in_order() -> None:
    text = f"{'new'}:{base64.b64encode(NEW).decode()}, \nold:{base64.b64encode(OLD).decode()}\n"
    ring = KeyRing.parse(text)
    assert repr(ring) == "KeyRing(active='new', ids=['new', 'old'])"
    assert KeyRing({"old": OLD}).decrypt(
        KeyRing.parse(f"old:{base64.b64encode(OLD).decode()}").encrypt(b"x", context=b""),
        context=b"",
    )


SECRET = base64.b64encode(OLD).decode()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not of the form"),
        (SECRET, "number 1 is not of the form"),
        (f"a:{SECRET},{SECRET}", "number 2 is not of the form"),
        (f"a:{SECRET},a:{SECRET}", "number 2 has the id"),
        (f"a:{SECRET[:-5]}!", "number 1 is not valid base64"),
        (f"a:{SECRET[:20]}", "'a' must have 32 bytes"),
        (f":{SECRET}", "a key id is"),
        (f"ä:{SECRET}", "a key id is"),
        (f"{'a' * 33}:{SECRET}", "a key id is"),
    ],
)
def test_unusable_keys_are_rejected_without_showing_them(text: str, message: str) -> None:
    with pytest.raises(KeyConfigurationError, match=message) as caught:
        KeyRing.parse(text)
    assert SECRET[:12] not in str(caught.value)


def test_an_empty_ring_is_rejected() -> None:
    with pytest.raises(KeyConfigurationError):
        KeyRing({})


def test_no_representation_shows_a_key() -> None:
    settings = Settings(keys=SecretStr(f"a:{SECRET}"))
    assert SECRET not in repr(settings) + repr(KeyRing.from_settings(settings))


def test_development_creates_and_keeps_a_key(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "new" / "data")
    blob = KeyRing.from_settings(settings).encrypt(b"x", context=b"")
    assert KeyRing.from_settings(settings).decrypt(blob, context=b"") == b"x"
    assert os.listdir(settings.data_dir) == ["keys"]
    assert stat.S_IMODE((settings.data_dir / "keys").stat().st_mode) == 0o600


def test_processes_that_start_at_once_share_the_key(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    with ThreadPoolExecutor(16) as pool:
        rings = list(pool.map(lambda _: KeyRing.from_settings(settings), range(16)))
    assert len({repr(ring) for ring in rings}) == 1
    assert os.listdir(tmp_path) == ["keys"]


def test_a_keys_file_is_read(tmp_path: Path) -> None:
    file = tmp_path / "ring"
    file.write_text(f"p1:{generate_key()}\np0:{generate_key()}\n")
    settings = Settings(profile="production", keys_file=file)
    assert repr(KeyRing.from_settings(settings)) == "KeyRing(active='p1', ids=['p1', 'p0'])"
    file.unlink()
    with pytest.raises(KeyConfigurationError, match="cannot read"):
        KeyRing.from_settings(settings)


def test_production_never_creates_a_key(tmp_path: Path) -> None:
    unchecked = Settings.model_construct(profile="production", data_dir=tmp_path)
    with pytest.raises(KeyConfigurationError, match="development"):
        KeyRing.from_settings(unchecked)
    assert os.listdir(tmp_path) == []


def test_derived_keys_differ_by_key_and_purpose() -> None:
    ring = KeyRing({"new": bytes(range(32)), "old": bytes(32)})
    signing, encryption = ring.derive("signing"), ring.derive("encryption")
    assert list(signing) == ["new", "old"]
    keys = [*signing.values(), *encryption.values(), bytes(32), bytes(range(32))]
    assert len(set(keys)) == 6
    assert all(len(key) == 32 for key in keys)
    assert KeyRing({"old": bytes(32)}).derive("signing")["old"] == signing["old"]
    # HKDF-SHA256 (RFC 5869) without salt, made with another implementation.
    assert signing["old"] == _hkdf(bytes(32), b"signing")


def _hkdf(key: bytes, info: bytes) -> bytes:
    extracted = hmac.digest(bytes(32), key, "sha256")
    return hmac.digest(extracted, info + b"\x01", "sha256")
