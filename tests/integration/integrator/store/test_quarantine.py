"""Rows at which sweeps fail."""

from datetime import UTC, datetime, timedelta

import pytest

from integrator.store import Merchant, Store
from integrator.store.quarantine import TRIES
from tests.integration.integrator.store.builders import new_transaction

SWEEP = "orphans"


async def fail(store: Store, times: int, key: str = "t1") -> None:
    for _ in range(times):
        await store.quarantine.record_failure(SWEEP, "demo", key, "KeyError")


async def list_unstarted(store: Store) -> list[str]:
    rows = await store.transaction_search.list_unstarted(datetime.now(UTC) + timedelta(minutes=1))
    return [row.transaction_id for row in rows]


@pytest.mark.parametrize("times", [1, TRIES - 1, TRIES, 40])
async def test_pauses_grow_and_many_failures_are_shown(
    store: Store, merchant: Merchant, times: int
) -> None:
    await fail(store, times)
    (entry,) = await store.quarantine.list_entries(tries=1)
    assert (entry.key, entry.tries, entry.reason) == ("t1", times, "KeyError")
    assert entry.next_at is not None
    minutes = min(2 ** (times - 1), 24 * 60)
    assert entry.next_at - entry.failed_at == timedelta(minutes=minutes)
    shown = await store.quarantine.list_entries("demo")
    assert bool(shown) is (times >= TRIES)
    assert await store.quarantine.count_by_sweep() == ({SWEEP: 1} if shown else {})


async def test_a_row_that_failed_makes_room_for_the_others(
    store: Store, merchant: Merchant
) -> None:
    for key in ("t1", "t2"):
        await store.transactions.add(new_transaction(merchant, key))
    await fail(store, 1)
    assert await list_unstarted(store) == ["t2"]
    assert await store.quarantine.retry("demo", "t1") == 1
    assert await list_unstarted(store) == ["t1", "t2"]


async def test_a_dropped_row_is_neither_tried_nor_shown_until_it_is_retried(
    store: Store, merchant: Merchant
) -> None:
    await store.transactions.add(new_transaction(merchant))
    await fail(store, TRIES)
    assert await store.quarantine.drop("demo", "t1") == 1
    await fail(store, 1)
    assert await store.quarantine.list_entries() == []
    assert await list_unstarted(store) == []
    assert await store.quarantine.retry() == 1
    assert await list_unstarted(store) == ["t1"]


async def test_a_processed_row_is_forgotten(store: Store, merchant: Merchant) -> None:
    await fail(store, TRIES)
    await fail(store, 1, key="t2")
    await store.quarantine.remove(SWEEP, {("demo", "t1")})
    assert await store.quarantine.list_keys(SWEEP) == {("demo", "t2")}
    assert await store.quarantine.list_keys("sample") == set()
    assert await store.quarantine.drop("demo", "t3") == 0
