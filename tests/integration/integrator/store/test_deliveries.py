"""Stored deliveries of change notifications."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from integrator.store import DeliveryRow, Merchant, Store, TransactionFilter
from integrator.store.deliveries import GIVEN_UP_AFTER
from tests.integration.integrator.store.builders import new_transaction

BEGAN = datetime.now(UTC) - timedelta(hours=1)
LATER = BEGAN + timedelta(minutes=1)

FIRST = DeliveryRow(
    merchant_id="demo",
    transaction_id="t1",
    version=3,
    state="delivering",
    attempts=1,
    began_at=BEGAN,
    last_attempt_at=BEGAN,
    last_status=503,
    last_error="The target answered 503.",
)
DELIVERED = replace(
    FIRST,
    state="delivered",
    attempts=2,
    last_attempt_at=LATER,
    delivered_at=LATER,
    last_status=200,
    last_error=None,
)


@pytest.fixture(autouse=True)
async def transaction(store: Store, merchant: Merchant) -> None:
    await store.transactions.add(new_transaction(merchant))


async def test_an_attempt_replaces_the_one_before(store: Store) -> None:
    await store.deliveries.record(FIRST)
    assert await store.deliveries.list_by_transaction("demo", "t1") == [FIRST]
    await store.deliveries.record(DELIVERED)
    assert await store.deliveries.list_by_transaction("demo", "t1") == [DELIVERED]


async def test_repeated_and_superseded_attempts_change_nothing(store: Store) -> None:
    await store.deliveries.record(DELIVERED)
    await store.deliveries.record(FIRST)
    await store.deliveries.record(replace(DELIVERED, last_status=204))
    assert await store.deliveries.list_by_transaction("demo", "t1") == [DELIVERED]


async def test_another_round_restarts_the_count_and_keeps_delivered_at(store: Store) -> None:
    await store.deliveries.record(DELIVERED)
    again = replace(FIRST, began_at=LATER, last_attempt_at=LATER)
    await store.deliveries.record(again)
    assert await store.deliveries.list_by_transaction("demo", "t1") == [
        replace(again, delivered_at=LATER)
    ]


async def test_the_newest_version_comes_first(store: Store) -> None:
    await store.deliveries.record(DELIVERED)
    await store.deliveries.record(replace(FIRST, version=5))
    assert [row.version for row in await store.deliveries.list_by_transaction("demo", "t1")] == [
        5,
        3,
    ]


async def test_a_transaction_is_listed_by_its_last_announced_version(
    store: Store,
) -> None:
    await store.deliveries.record(replace(FIRST, state="undelivered"))
    assert [
        row.webhook
        for row in await store.transaction_search.list_summaries(
            TransactionFilter(webhook="undelivered")
        )
    ] == ["undelivered"]
    await store.deliveries.record(replace(DELIVERED, version=4))
    assert (
        await store.transaction_search.list_summaries(TransactionFilter(webhook="undelivered"))
        == []
    )
    assert [
        row.transaction_id
        for row in await store.transaction_search.list_summaries(
            TransactionFilter(webhook="delivered")
        )
    ] == ["t1"]
    backlog = await store.backlog.get_totals()
    assert (backlog.delivering, backlog.undelivered) == (0, 0)


async def test_a_round_without_an_end_counts_as_undelivered(store: Store) -> None:
    old = datetime.now(UTC) - GIVEN_UP_AFTER - timedelta(minutes=1)
    await store.deliveries.record(replace(FIRST, began_at=old, last_attempt_at=old))
    assert [
        row.webhook for row in await store.transaction_search.list_summaries(TransactionFilter())
    ] == ["undelivered"]
    assert (
        await store.transaction_search.list_summaries(TransactionFilter(webhook="delivering")) == []
    )
    backlog = await store.backlog.get_totals("demo")
    assert (backlog.delivering, backlog.undelivered) == (0, 1)
    assert backlog.undelivered_since == old
