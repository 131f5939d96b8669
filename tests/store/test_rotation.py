"""Changing the keys of the ring while others work."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import select, update

from integrator.crypto.data_keys import is_sealed_by_data_key
from integrator.crypto.keys import DecryptionError, KeyRing, blob_key_id
from integrator.store import Merchant, Store, rotation
from integrator.store.tables import notifications, transactions
from tests.store.builders import change, kept_request
from tests.store.encryption_helpers import Place, all_blobs, as_before_data_keys, connected, opened
from tests.store.factories import MIA, TARGET, TOM, live, notify, transaction_of

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
RING_OF_OLD = KeyRing({"test": OLD})
RING_OF_BOTH = KeyRing({"new": NEW, "test": OLD})
RING_OF_NEW = KeyRing({"new": NEW})


@pytest.fixture
async def rotating(url: str) -> AsyncIterator[Store]:
    """A process that has the new key first and the old one after it."""
    async with Store(url, RING_OF_BOTH) as store:
        yield store


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "BATCH", 2)


async def fill(store: Store, merchant: Merchant) -> None:
    await store.save_settings(merchant.id, {"ApiKey": "first"})
    await store.save_settings(merchant.id, {"ApiKey": "second"})
    await live(store, merchant, MIA)
    await live(store, merchant, TOM)


async def rotate(store: Store) -> Counter[str]:
    counts: Counter[str] = Counter()
    async for batch in store.reseal():
        counts["batches"] += 1
        counts["resealed"] += batch.resealed
        counts["unreadable"] += batch.unreadable
    return counts


def ring_keys(blobs: dict[Place, bytes]) -> Counter[str | None]:
    return Counter(blob_key_id(blob) for blob in blobs.values() if not is_sealed_by_data_key(blob))


async def test_afterwards_the_old_key_is_not_needed(
    url: str, store: Store, rotating: Store, merchant: Merchant
) -> None:
    await fill(store, merchant)
    before = await all_blobs(url)
    plain = opened(before, RING_OF_OLD)
    stale = ring_keys(before)["test"]
    assert await rotating.stale_blobs() == stale
    counts = await rotate(rotating)
    assert (counts["resealed"], counts["unreadable"]) == (stale, 0)
    assert await rotating.stale_blobs() == 0
    after = await all_blobs(url)
    assert ring_keys(after) == {"new": stale}
    assert opened(after, RING_OF_NEW) == plain
    async with Store(url, RING_OF_NEW) as new:
        assert await new.settings("demo") == {"ApiKey": "second"}
        assert (await kept_request(new, "demo", "mia-1"))["payerData"] == {"lastName": MIA.name}
    with pytest.raises(DecryptionError):
        await kept_request(store, "demo", "mia-1")


async def test_what_data_keys_have_sealed_is_not_touched(
    url: str, store: Store, rotating: Store, merchant: Merchant
) -> None:
    await fill(store, merchant)

    async def sealed_by_data_keys() -> dict[Place, bytes]:
        found = await all_blobs(url)
        return {place: blob for place, blob in found.items() if is_sealed_by_data_key(blob)}

    before = await sealed_by_data_keys()
    await rotate(rotating)
    assert len(before) > 10
    assert await sealed_by_data_keys() == before


async def test_rows_older_than_data_keys_and_erased_ones(
    url: str, store: Store, rotating: Store, merchant: Merchant
) -> None:
    await fill(store, merchant)
    await as_before_data_keys(url, RING_OF_OLD)
    await store.erase_agreement("demo", "mia")
    plain = opened(await all_blobs(url), RING_OF_OLD)
    await rotate(rotating)
    after = await all_blobs(url)
    assert set(ring_keys(after)) == {"new"}
    assert opened(after, RING_OF_NEW) == plain
    assert await rotating.webhook_target("demo", "mia-1") == TARGET


async def test_a_second_rotation_finds_nothing_to_do(
    store: Store, rotating: Store, merchant: Merchant
) -> None:
    await fill(store, merchant)
    await rotate(rotating)
    assert await rotate(rotating) == {}


async def test_nothing_is_lost_that_is_written_meanwhile(
    url: str, store: Store, rotating: Store, merchant: Merchant
) -> None:
    """Writers that have the old key first, as during a roll-out, and some that have the new."""
    await fill(store, merchant)
    await as_before_data_keys(url, RING_OF_OLD)
    async with Store(url, KeyRing({"test": OLD, "new": NEW})) as early:
        done = asyncio.Event()
        rounds: Counter[str] = Counter()

        async def write(writer: Store, name: str, transaction_id: str) -> None:
            while not done.is_set():
                n = rounds[name] = rounds[name] + 1
                await writer.save_private("demo", transaction_id, redirect={"url": f"{name}-{n}"})
                await writer.open_transaction(transaction_of(merchant, MIA, f"{name}-{n}"))
                id = await notify(writer, merchant, TOM, f"{name}-{n}")
                await writer.set_notification(id, "parked")
                await writer.record(change(merchant, transaction_id, version=n))
                await writer.settings("demo")
                await asyncio.sleep(0)

        writers = [
            asyncio.create_task(write(early, "early", "mia-1")),
            asyncio.create_task(write(rotating, "late", "tom-1")),
        ]
        while min(rounds["early"], rounds["late"]) < 5:
            await rotate(rotating)
            assert not any(writer.done() for writer in writers)
        done.set()
        await asyncio.gather(*writers)
        # What the early one has written since then.
        await rotate(rotating)
    async with Store(url, RING_OF_NEW) as new:
        for name, transaction_id in (("early", "mia-1"), ("late", "tom-1")):
            row = await new.transaction("demo", transaction_id)
            assert row is not None
            assert row.private is not None
            assert row.private["redirect"] == {"url": f"{name}-{rounds[name]}"}
            assert row.version == rounds[name]
            for n in range(1, rounds[name] + 1):
                request = await kept_request(new, "demo", f"mia-{name}-{n}")
                assert request["payerData"] == {"lastName": MIA.name}
        parked = await new.parked_for("demo", ["pay_tom"])
        assert len(parked) == rounds["early"] + rounds["late"]
    assert await rotating.stale_blobs() == 0


async def test_who_was_stopped_half_way_goes_on_there(
    url: str, store: Store, rotating: Store, merchant: Merchant
) -> None:
    await fill(store, merchant)
    plain = opened(await all_blobs(url), RING_OF_OLD)
    stale = await rotating.stale_blobs()
    batches = rotating.reseal()
    done = 0
    async for batch in batches:
        done += batch.resealed
        if done >= 4:
            break
    await batches.aclose()  # type: ignore[attr-defined]
    assert await rotating.stale_blobs() == stale - done
    assert opened(await all_blobs(url), RING_OF_BOTH) == plain
    assert (await rotate(rotating))["resealed"] == stale - done
    assert opened(await all_blobs(url), RING_OF_NEW) == plain


async def test_a_crash_within_a_batch_undoes_the_batch(
    url: str,
    store: Store,
    rotating: Store,
    merchant: Merchant,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await fill(store, merchant)
    plain = opened(await all_blobs(url), RING_OF_OLD)
    replace, calls = rotation._replace, Counter[str]()

    async def crash(*given: Any) -> None:
        calls["all"] += 1
        if calls["all"] == 6:
            raise RuntimeError("the power is gone")
        await replace(*given)

    with monkeypatch.context() as patch:
        patch.setattr(rotation, "_replace", crash)
        with pytest.raises(RuntimeError, match="power"):
            await rotate(rotating)
    half = await all_blobs(url)
    assert 0 < ring_keys(half)["new"] < 6
    assert opened(half, RING_OF_BOTH) == plain
    await rotate(rotating)
    assert opened(await all_blobs(url), RING_OF_NEW) == plain


async def test_what_does_not_open_is_left_and_counted(
    url: str, store: Store, rotating: Store, merchant: Merchant
) -> None:
    await fill(store, merchant)
    async with Store(url, KeyRing({"lost": bytes(32)})) as stranger:
        await stranger.save_settings("demo", {"ApiKey": "third"})
    row = notifications.alias()
    other = select(row.c.raw).where(row.c.event_id == "mia-parked").scalar_subquery()
    async with connected(url) as connection:
        tampered = update(notifications).where(notifications.c.event_id == "tom-parked")
        await connection.execute(tampered.values(raw=other))
    counts = await rotate(rotating)
    assert counts["unreadable"] == 2
    assert await rotating.stale_blobs() == 2
    (settings,) = [u for u in await rotating.key_usage() if u.column.startswith("psp_settings")]
    assert settings.by_key == {"new": 2, "lost": 1}


async def test_usage_counts_every_blob(
    url: str, store: Store, rotating: Store, merchant: Merchant
) -> None:
    await fill(store, merchant)
    await store.erase_agreement("demo", "mia")
    blobs = await all_blobs(url)
    usage = {column.column: column for column in await rotating.key_usage()}
    for name, column in usage.items():
        own = {place: blob for place, blob in blobs.items() if f"{place[0]}.{place[1]}" == name}
        assert Counter(column.by_key) == ring_keys(own)
        assert column.data_key == len(own) - sum(column.by_key.values())
    assert usage["transactions.request"].erased == 3
    assert usage["notifications.raw"].erased == 3
    assert usage["data_keys.wrapped"].by_key == {"test": 1}


async def test_a_row_that_somebody_holds_is_visited_again(postgres_url: str) -> None:
    async with Store(postgres_url, RING_OF_BOTH) as rotating:
        async with Store(postgres_url, RING_OF_OLD) as store:
            merchant = await store.add_merchant("demo", "sandbox")
            await fill(store, merchant)
        async with connected(postgres_url) as holder:
            mine = update(transactions).where(transactions.c.transaction_id == "mia-1")
            await holder.execute(mine.values(status="Pending"))
            rotate_all = asyncio.create_task(rotate(rotating))
            for _ in range(200):
                if await rotating.stale_blobs() == 2:  # the row's webhook target and state
                    break
                await asyncio.sleep(0.02)
            assert not rotate_all.done()
        counts = await rotate_all
        assert await rotating.stale_blobs() == 0
        assert counts["unreadable"] == 0
