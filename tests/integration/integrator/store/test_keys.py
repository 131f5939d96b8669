"""Rotation of the key ring with concurrent writers."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import select, update

from integrator.crypto.data_keys import is_encrypted_by_data_key
from integrator.crypto.keys import DecryptionError, KeyRing, blob_key_id
from integrator.store import Merchant, Store, keys
from integrator.store.tables import notifications, transactions
from tests.integration.integrator.store.builders import record_update, stored_request
from tests.integration.integrator.store.encryption_helpers import (
    BlobContext,
    decrypt_blobs,
    read_blobs,
    remove_data_keys,
    write_connection,
)
from tests.integration.integrator.store.factories import (
    MIA,
    TARGET,
    TOM,
    create_agreement_data,
    store_notification_for,
    transaction_for,
)

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
OLD_RING = KeyRing({"test": OLD})
BOTH_RING = KeyRing({"new": NEW, "test": OLD})
NEW_RING = KeyRing({"new": NEW})


@pytest.fixture
async def rotating(url: str) -> AsyncIterator[Store]:
    """Return a store with the new key first and the old one second."""
    async with Store(url, BOTH_RING) as store:
        yield store


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "BATCH", 2)


async def fill(store: Store, merchant: Merchant) -> None:
    await store.merchants.save_settings(merchant.id, {"ApiKey": "first"})
    await store.merchants.save_settings(merchant.id, {"ApiKey": "second"})
    await create_agreement_data(store, merchant, MIA)
    await create_agreement_data(store, merchant, TOM)


async def run_rotation(store: Store) -> Counter[str]:
    counts: Counter[str] = Counter()
    async for batch in store.keys.reencrypt():
        counts["batches"] += 1
        counts["reencrypted"] += batch.reencrypted
        counts["unreadable"] += batch.unreadable
    return counts


def count_ring_keys(blobs: dict[BlobContext, bytes]) -> Counter[str | None]:
    return Counter(
        blob_key_id(blob) for blob in blobs.values() if not is_encrypted_by_data_key(blob)
    )


async def test_after_a_rotation_the_old_key_is_not_needed(
    url: str, store: Store, rotating: Store, merchant: Merchant
) -> None:
    await fill(store, merchant)
    before = await read_blobs(url)
    plain = decrypt_blobs(before, OLD_RING)
    stale = count_ring_keys(before)["test"]
    assert await rotating.keys.count_stale_blobs() == stale
    counts = await run_rotation(rotating)
    assert (counts["reencrypted"], counts["unreadable"]) == (stale, 0)
    assert await rotating.keys.count_stale_blobs() == 0
    after = await read_blobs(url)
    assert count_ring_keys(after) == {"new": stale}
    assert decrypt_blobs(after, NEW_RING) == plain
    async with Store(url, NEW_RING) as new:
        assert await new.merchants.get_settings("demo") == {"ApiKey": "second"}
        assert (await stored_request(new, "demo", "mia-1"))["payerData"] == {"lastName": MIA.name}
    with pytest.raises(DecryptionError):
        await stored_request(store, "demo", "mia-1")


async def test_blobs_of_data_keys_are_not_changed(
    url: str, store: Store, rotating: Store, merchant: Merchant
) -> None:
    await fill(store, merchant)

    async def blobs_of_data_keys() -> dict[BlobContext, bytes]:
        blobs = await read_blobs(url)
        return {context: blob for context, blob in blobs.items() if is_encrypted_by_data_key(blob)}

    before = await blobs_of_data_keys()
    await run_rotation(rotating)
    assert len(before) > 10
    assert await blobs_of_data_keys() == before


async def test_rows_older_than_data_keys_and_erased_rows_are_reencrypted(
    url: str, store: Store, rotating: Store, merchant: Merchant
) -> None:
    await fill(store, merchant)
    await remove_data_keys(url, OLD_RING)
    await store.erasure.erase_agreement("demo", "mia")
    plain = decrypt_blobs(await read_blobs(url), OLD_RING)
    await run_rotation(rotating)
    after = await read_blobs(url)
    assert set(count_ring_keys(after)) == {"new"}
    assert decrypt_blobs(after, NEW_RING) == plain
    assert await rotating.transactions.get_webhook_target("demo", "mia-1") == TARGET


async def test_a_second_rotation_finds_nothing_to_do(
    store: Store, rotating: Store, merchant: Merchant
) -> None:
    await fill(store, merchant)
    await run_rotation(rotating)
    assert await run_rotation(rotating) == {}


async def test_concurrent_writes_are_not_lost(
    url: str, store: Store, rotating: Store, merchant: Merchant
) -> None:
    """Some writers have the old key first, as during a roll-out, others the new key."""
    await fill(store, merchant)
    await remove_data_keys(url, OLD_RING)
    async with Store(url, KeyRing({"test": OLD, "new": NEW})) as early:
        done = asyncio.Event()
        rounds: Counter[str] = Counter()

        async def write(writer: Store, name: str, transaction_id: str) -> None:
            # At least five rounds; no more than a rotation can keep up with on a loaded machine.
            while not done.is_set() and rounds[name] < 50:
                n = rounds[name] = rounds[name] + 1
                await writer.transactions.save_private(
                    "demo", transaction_id, redirect={"url": f"{name}-{n}"}
                )
                await writer.transactions.add(transaction_for(merchant, MIA, f"{name}-{n}"))
                id = await store_notification_for(writer, merchant, TOM, f"{name}-{n}")
                await writer.notifications.set_state(id, "parked")
                await writer.transactions.record(record_update(merchant, transaction_id, version=n))
                await writer.merchants.get_settings("demo")
                await asyncio.sleep(0)

        writers = [
            asyncio.create_task(write(early, "early", "mia-1")),
            asyncio.create_task(write(rotating, "late", "tom-1")),
        ]
        while min(rounds["early"], rounds["late"]) < 5:
            await run_rotation(rotating)
            assert not any(writer.done() and writer.exception() for writer in writers)
        done.set()
        await asyncio.gather(*writers)
        # Blobs that the writer with the old key first has written since then.
        await run_rotation(rotating)
    async with Store(url, NEW_RING) as new:
        for name, transaction_id in (("early", "mia-1"), ("late", "tom-1")):
            row = await new.transactions.get("demo", transaction_id)
            assert row is not None
            assert row.private is not None
            assert row.private["redirect"] == {"url": f"{name}-{rounds[name]}"}
            assert row.version == rounds[name]
            for n in range(1, rounds[name] + 1):
                request = await stored_request(new, "demo", f"mia-{name}-{n}")
                assert request["payerData"] == {"lastName": MIA.name}
        parked = await new.notifications.list_parked("demo", ["pay_tom"])
        assert len(parked) == rounds["early"] + rounds["late"]
    assert await rotating.keys.count_stale_blobs() == 0


async def test_an_interrupted_rotation_can_be_continued(
    url: str, store: Store, rotating: Store, merchant: Merchant
) -> None:
    await fill(store, merchant)
    plain = decrypt_blobs(await read_blobs(url), OLD_RING)
    stale = await rotating.keys.count_stale_blobs()
    batches = rotating.keys.reencrypt()
    done = 0
    async for batch in batches:
        done += batch.reencrypted
        if done >= 4:
            break
    await batches.aclose()  # type: ignore[attr-defined]
    assert await rotating.keys.count_stale_blobs() == stale - done
    assert decrypt_blobs(await read_blobs(url), BOTH_RING) == plain
    assert (await run_rotation(rotating))["reencrypted"] == stale - done
    assert decrypt_blobs(await read_blobs(url), NEW_RING) == plain


async def test_a_crash_within_a_batch_rolls_it_back(
    url: str,
    store: Store,
    rotating: Store,
    merchant: Merchant,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await fill(store, merchant)
    plain = decrypt_blobs(await read_blobs(url), OLD_RING)
    replace, calls = keys._update_blob, Counter[str]()

    async def crash(*arguments: Any) -> None:
        calls["all"] += 1
        if calls["all"] == 6:
            raise RuntimeError("power failure")
        await replace(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(keys, "_update_blob", crash)
        with pytest.raises(RuntimeError, match="power"):
            await run_rotation(rotating)
    half = await read_blobs(url)
    assert 0 < count_ring_keys(half)["new"] < 6
    assert decrypt_blobs(half, BOTH_RING) == plain
    await run_rotation(rotating)
    assert decrypt_blobs(await read_blobs(url), NEW_RING) == plain


async def test_unreadable_blobs_are_kept_and_counted(
    url: str, store: Store, rotating: Store, merchant: Merchant
) -> None:
    await fill(store, merchant)
    async with Store(url, KeyRing({"lost": bytes(32)})) as other_store:
        await other_store.merchants.save_settings("demo", {"ApiKey": "third"})
    row = notifications.alias()
    other = select(row.c.raw).where(row.c.event_id == "mia-parked").scalar_subquery()
    async with write_connection(url) as connection:
        tampered = update(notifications).where(notifications.c.event_id == "tom-parked")
        await connection.execute(tampered.values(raw=other))
    counts = await run_rotation(rotating)
    assert counts["unreadable"] == 2
    assert await rotating.keys.count_stale_blobs() == 2
    (settings,) = [
        u for u in await rotating.keys.list_usage() if u.column.startswith("psp_settings")
    ]
    assert settings.by_key == {"new": 2, "lost": 1}


async def test_usage_counts_every_blob(
    url: str, store: Store, rotating: Store, merchant: Merchant
) -> None:
    await fill(store, merchant)
    await store.erasure.erase_agreement("demo", "mia")
    blobs = await read_blobs(url)
    usage = {column.column: column for column in await rotating.keys.list_usage()}
    for name, column in usage.items():
        in_column = {key: blob for key, blob in blobs.items() if f"{key[0]}.{key[1]}" == name}
        assert Counter(column.by_key) == count_ring_keys(in_column)
        assert column.data_key == len(in_column) - sum(column.by_key.values())
    assert usage["transactions.request"].erased == 3
    assert usage["notifications.raw"].erased == 3
    assert usage["data_keys.wrapped"].by_key == {"test": 1}


async def test_a_locked_row_is_visited_again(postgres_url: str) -> None:
    async with Store(postgres_url, BOTH_RING) as rotating:
        async with Store(postgres_url, OLD_RING) as store:
            merchant = await store.merchants.add("demo", "sandbox")
            await fill(store, merchant)
        async with write_connection(postgres_url) as holder:
            mine = update(transactions).where(transactions.c.transaction_id == "mia-1")
            await holder.execute(mine.values(status="Pending"))
            rotate_all = asyncio.create_task(run_rotation(rotating))
            for _ in range(200):
                if (
                    await rotating.keys.count_stale_blobs() == 2
                ):  # the row's webhook target and state
                    break
                await asyncio.sleep(0.02)
            assert not rotate_all.done()
        counts = await rotate_all
        assert await rotating.keys.count_stale_blobs() == 0
        assert counts["unreadable"] == 0
