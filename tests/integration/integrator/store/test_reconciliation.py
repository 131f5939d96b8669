"""Stored progress of reconciliation and unmatched movements."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sqlalchemy import text

from integrator.crypto.keys import KeyRing
from integrator.store import Merchant, NewUnmatchedMovement, ReconciliationProgress, Store
from integrator.store.engine import open_engine
from integrator.store.migrate import upgrade
from tests.integration.integrator.store.builders import (
    new_notification,
    new_transaction,
    record_update,
)

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=5)


def unmatched_movement(merchant: Merchant, psp_id: str = "ch_9") -> NewUnmatchedMovement:
    return NewUnmatchedMovement(
        psp_settings_id=merchant.psp_settings_id,
        psp_id=psp_id,
        kind="payment",
        amount=Decimal("20.00"),
        currency="EUR",
        reference="shop-1",
        parent_psp_id=None,
        owner_id=None,
        booked_at=LONG_AGO,
    )


async def test_the_cursor_advances_from_its_current_value_only(
    store: Store, merchant: Merchant
) -> None:
    settings_id = merchant.psp_settings_id
    assert await store.reconciliation.get_progress(settings_id) == ReconciliationProgress()
    assert await store.reconciliation.advance_cursor(settings_id, None, "10")
    assert not await store.reconciliation.advance_cursor(settings_id, None, "5")
    assert await store.reconciliation.advance_cursor(settings_id, "10", "20")
    assert (await store.reconciliation.get_progress(settings_id)).cursor == "20"


async def test_one_of_several_concurrent_writers_advances_the_cursor(
    store: Store, merchant: Merchant
) -> None:
    results = await asyncio.gather(
        *(
            store.reconciliation.advance_cursor(merchant.psp_settings_id, None, str(n))
            for n in range(8)
        )
    )
    assert sum(results) == 1


async def test_checked_until_never_goes_back(store: Store, merchant: Merchant) -> None:
    settings_id = merchant.psp_settings_id
    for until in (LONG_AGO, LONG_AGO + timedelta(hours=1), LONG_AGO):
        await store.reconciliation.record_checked_until(settings_id, until)
    assert await store.reconciliation.get_progress(settings_id) == ReconciliationProgress(
        None, LONG_AGO + timedelta(hours=1)
    )
    assert await store.reconciliation.advance_cursor(settings_id, None, "1")
    assert (
        await store.reconciliation.get_progress(settings_id)
    ).checked_until == LONG_AGO + timedelta(hours=1)


async def test_an_unmatched_movement_is_stored_once_and_resolved(
    store: Store, merchant: Merchant
) -> None:
    settings_id = merchant.psp_settings_id
    assert await store.unmatched_movements.add(unmatched_movement(merchant))
    assert not await store.unmatched_movements.add(
        replace(unmatched_movement(merchant), amount=Decimal(1))
    )
    (movement,) = await store.unmatched_movements.list_open_by_account(settings_id)
    assert (movement.amount, movement.currency, movement.resolved_at) == (
        Decimal("20.00"),
        "EUR",
        None,
    )
    await store.unmatched_movements.record_check(settings_id, "ch_9", owner_id="t1", resolved=True)
    assert await store.unmatched_movements.list_open_by_account(settings_id) == []
    kept = await store.unmatched_movements.get(settings_id, "ch_9")
    assert kept is not None
    assert (kept.owner_id, kept.resolved_at is not None) == ("t1", True)
    assert await store.unmatched_movements.get(settings_id, "ch_8") is None


async def test_unmatched_movements_are_listed_least_recently_checked_first(
    store: Store, merchant: Merchant
) -> None:
    settings_id = merchant.psp_settings_id
    for psp_id in ("a", "b", "c"):
        await store.unmatched_movements.add(unmatched_movement(merchant, psp_id))
    began = datetime.now(UTC)
    await store.unmatched_movements.record_check(settings_id, "a", owner_id=None, resolved=False)
    assert [
        movement.psp_id
        for movement in await store.unmatched_movements.list_open_by_account(settings_id)
    ] == [
        "b",
        "c",
        "a",
    ]
    assert [
        movement.psp_id
        for movement in await store.unmatched_movements.list_open_by_account(settings_id, began)
    ] == ["b", "c"]
    assert [
        movement.psp_id
        for movement in await store.unmatched_movements.list_open_by_account(settings_id, limit=1)
    ] == ["b"]


async def test_transactions_are_found_by_any_of_their_ids(store: Store, merchant: Merchant) -> None:
    other = await store.merchants.add("other", "sandbox")
    for of_merchant, id in ((merchant, "t1"), (merchant, "t2"), (other, "t1")):
        await store.transactions.add(new_transaction(of_merchant, id))
    await store.transactions.record(record_update(merchant, "t2", psp_transaction_id="ch_2"))
    rows = await store.transaction_search.list_by_ids("demo", "sandbox", {"t1", "ch_2", "unknown"})
    assert {(row.merchant_id, row.transaction_id) for row in rows} == {
        ("demo", "t1"),
        ("demo", "t2"),
    }
    assert await store.transaction_search.list_by_ids("demo", "another", {"t1"}) == []


async def test_transactions_to_check_are_listed_least_recently_compared_first(
    store: Store, merchant: Merchant
) -> None:
    for id in ("t1", "t2", "t3", "t4"):
        await store.transactions.add(new_transaction(merchant, id))
        if id != "t4":
            await store.transactions.record(record_update(merchant, id))
    await store.transactions.mark_checked("demo", ["t1"])

    async def due(statuses: tuple[str, ...] = ("Pending",), limit: int = 9) -> list[str]:
        rows = await store.transaction_search.list_to_check(
            "demo", statuses, created_after=LONG_AGO, checked_before=soon(), limit=limit
        )
        return [row.transaction_id for row in rows]

    assert await due() == ["t2", "t3", "t1"]
    assert await due(limit=1) == ["t2"]
    assert await due(("Succeeded",)) == []
    assert (
        await store.transaction_search.list_to_check(
            "demo", ("Pending",), created_after=LONG_AGO, checked_before=LONG_AGO, limit=9
        )
        == []
    )
    assert (
        await store.transaction_search.list_to_check(
            "demo", ("Pending",), created_after=soon(), checked_before=soon(), limit=9
        )
        == []
    )


async def test_stored_event_ids_are_returned(store: Store, merchant: Merchant) -> None:
    await store.notifications.add(new_notification(merchant, "e1"))
    id, _ = await store.notifications.add(
        new_notification(merchant, "e2", source="listed", headers=None)
    )
    settings_id = merchant.psp_settings_id
    assert await store.notifications.list_event_ids(settings_id, {"e1", "e2", "e3"}) == {"e1", "e2"}
    assert await store.notifications.list_event_ids("0" * 24, {"e1"}) == set()
    kept = await store.notifications.get(id)
    assert kept is not None
    assert (kept.source, kept.headers) == ("listed", None)


async def test_many_attempts_lengthen_the_retry_interval(store: Store, merchant: Merchant) -> None:
    id, _ = await store.notifications.add(new_notification(merchant))
    for _ in range(60):
        await store.notifications.set_state(id, "parked")
    assert await store.notifications.list_pending(soon()) == []
    later = soon() + timedelta(hours=1)
    assert [row.id for row in await store.notifications.list_pending(later)] == [id]


async def test_rows_older_than_reconciliation_are_migrated(empty_url: str, cipher: KeyRing) -> None:
    await upgrade(empty_url, "0001")
    engine = open_engine(empty_url)
    async with engine.execution_options(writes=True).begin() as connection:
        await connection.execute(
            text("INSERT INTO merchants VALUES ('demo', 'sandbox', 'abc', '2026-01-15 09:00:00')")
        )
        await connection.execute(
            text(
                "INSERT INTO transactions (merchant_id, transaction_id, kind, fingerprint, psp,"
                " psp_settings_id, role, currency, requested_amount, request, status, version,"
                " snapshot, created_at, updated_at) VALUES ('demo', 't1', 'payment', 'f',"
                " 'sandbox', 'abc', 'Debit', 'EUR', '10.00', 'x', 'Pending', 1, '{}',"
                " '2026-01-15 09:00:00', '2026-01-15 09:00:00')"
            )
        )
    await engine.dispose()
    await upgrade(empty_url)
    async with Store(empty_url, cipher) as store:
        (row,) = await store.transaction_search.list_to_check(
            "demo", ("Pending",), created_after=LONG_AGO, checked_before=soon(), limit=9
        )
        assert row.checked_at == row.created_at
        assert await store.reconciliation.get_progress("abc") == ReconciliationProgress()
