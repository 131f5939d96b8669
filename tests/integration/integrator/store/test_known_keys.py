"""Registration of key rings: since when each key is known, and which keys are missing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest

from integrator.crypto.keys import KeyConfigurationError, KeyRing
from integrator.key_registry import KeyRegistry
from integrator.store import KeyMismatch, Store
from integrator.store.known_keys import ALWAYS, CLOCK_TOLERANCE

K1, K2, K3 = bytes(range(32)), bytes(range(32, 64)), bytes(range(64, 96))


@asynccontextmanager
async def open_with(url: str, **keys: bytes) -> AsyncIterator[tuple[Store, KeyRing]]:
    ring = KeyRing(keys)
    async with Store(url, ring) as store:
        yield store, ring


async def register(url: str, **keys: bytes) -> dict[str, datetime]:
    async with open_with(url, **keys) as (store, ring):
        return await store.known_keys.register(ring.fingerprints())


async def test_the_first_registration_enters_the_keys_as_known_for_ever(url: str) -> None:
    assert await register(url, a=K1, b=K2) == {"a": ALWAYS, "b": ALWAYS}


async def test_the_first_registration_enters_keys_of_values_in_the_store_too(url: str) -> None:
    """A process of the version before has encrypted with a key that this one lacks."""
    async with open_with(url, old=K1) as (store, _ring):
        merchant = await store.merchants.add("acme", "sandbox")
        await store.merchants.save_settings(merchant.id, {"ApiKey": "secret"})
    await register(url, new=K2)
    async with open_with(url, new=K2) as (store, _ring):
        assert await store.known_keys.known_since("old") == ALWAYS
        assert await store.known_keys.find_missing() == ["old"]


async def test_a_later_key_is_known_only_after_its_registration(url: str) -> None:
    await register(url, a=K1)
    before = datetime.now(UTC)
    first = await register(url, b=K2, a=K1)
    assert first["a"] == ALWAYS
    assert first["b"] >= before + CLOCK_TOLERANCE
    assert await register(url, b=K2, a=K1) == first, "the time never changes"


async def test_concurrent_registrations_agree(url: str) -> None:
    await register(url, a=K1)
    times = await asyncio.gather(*(register(url, a=K1, b=K2) for _ in range(5)))
    assert all(since == times[0] for since in times)


async def test_another_key_under_a_known_id_is_refused(url: str) -> None:
    await register(url, a=K1)
    with pytest.raises(KeyMismatch, match="'a' of the key ring is another one"):
        await register(url, a=K2)


async def test_a_key_that_nothing_uses_is_not_missing(url: str) -> None:
    await register(url, a=K1, b=K2)
    async with open_with(url, a=K1) as (store, ring):
        assert await store.known_keys.find_missing() == []
        (_, unused) = await store.known_keys.list_all()
        assert unused.key_id == "b"
        assert unused.unused_since is not None
        await store.known_keys.register(ring.fingerprints())
    await register(url, b=K2)
    async with open_with(url, a=K1) as (store, _ring):
        assert all(key.unused_since is None for key in await store.known_keys.list_all())


class TestRegistry:
    async def test_a_ring_without_a_key_in_use_is_refused(self, url: str) -> None:
        async with open_with(url, old=K1) as (store, ring):
            await KeyRegistry(store, ring).require_complete()
            merchant = await store.merchants.add("acme", "sandbox")
            await store.merchants.save_settings(merchant.id, {"ApiKey": "secret"})
        async with open_with(url, new=K2) as (store, ring):
            with pytest.raises(KeyConfigurationError, match=r"lacks keys .*: old; add them"):
                await KeyRegistry(store, ring).require_complete()

    async def test_another_key_under_a_known_id_is_a_configuration_error(self, url: str) -> None:
        await register(url, a=K1)
        async with open_with(url, a=K2) as (store, ring):
            with pytest.raises(KeyConfigurationError, match="Put that key back"):
                await KeyRegistry(store, ring).require_registered()

    async def test_a_new_active_key_waits_until_every_process_can_know_it(
        self, url: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await register(url, a=K1)
        pauses: list[float] = []

        async def record(seconds: float) -> None:
            pauses.append(seconds)

        async with open_with(url, b=K2, a=K1) as (store, ring):
            registry = KeyRegistry(store, ring)
            with monkeypatch.context() as patch:
                patch.setattr("integrator.key_registry.asyncio.sleep", record)
                await registry.require_registered()
        (pause,) = pauses
        assert CLOCK_TOLERANCE.total_seconds() < pause <= 2 * CLOCK_TOLERANCE.total_seconds()

    async def test_an_unknown_key_is_looked_up_again(self, url: str) -> None:
        await register(url, a=K1)
        async with open_with(url, a=K1) as (store, ring):
            registry = KeyRegistry(store, ring)
            assert await registry.known_since("c") is None
            since = (await register(url, a=K1, c=K3))["c"]
            assert await registry.known_since("c") == since
