"""What reconciliation remembers."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sqlalchemy import text

from integrator.crypto.keys import KeyRing
from integrator.store import Merchant, NewUnmatchedMovement, Progress, Store
from integrator.store.engine import open_engine
from integrator.store.migrate import upgrade
from tests.store.builders import change, new_notification, new_transaction

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=5)


def stray(merchant: Merchant, psp_id: str = "ch_9") -> NewUnmatchedMovement:
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


async def test_the_place_in_the_event_list_is_moved_by_whoever_knows_it(
    store: Store, merchant: Merchant
) -> None:
    own = merchant.psp_settings_id
    assert await store.progress(own) == Progress()
    assert await store.advance_cursor(own, None, "10")
    assert not await store.advance_cursor(own, None, "5")
    assert await store.advance_cursor(own, "10", "20")
    assert (await store.progress(own)).cursor == "20"


async def test_of_two_at_once_one_moves_it(store: Store, merchant: Merchant) -> None:
    moved = await asyncio.gather(
        *(store.advance_cursor(merchant.psp_settings_id, None, str(n)) for n in range(8))
    )
    assert sum(moved) == 1


async def test_the_time_compared_never_goes_back(store: Store, merchant: Merchant) -> None:
    own = merchant.psp_settings_id
    for until in (LONG_AGO, LONG_AGO + timedelta(hours=1), LONG_AGO):
        await store.checked_until(own, until)
    assert await store.progress(own) == Progress(None, LONG_AGO + timedelta(hours=1))
    assert await store.advance_cursor(own, None, "1")
    assert (await store.progress(own)).checked_until == LONG_AGO + timedelta(hours=1)


async def test_a_stray_is_kept_once_and_resolved(store: Store, merchant: Merchant) -> None:
    own = merchant.psp_settings_id
    assert await store.add_stray(stray(merchant))
    assert not await store.add_stray(replace(stray(merchant), amount=Decimal(1)))
    (found,) = await store.open_strays(own)
    assert (found.amount, found.currency, found.resolved_at) == (Decimal("20.00"), "EUR", None)
    await store.check_stray(own, "ch_9", owner_id="t1", resolved=True)
    assert await store.open_strays(own) == []
    kept = await store.stray(own, "ch_9")
    assert kept is not None
    assert (kept.owner_id, kept.resolved_at is not None) == ("t1", True)
    assert await store.stray(own, "ch_8") is None


async def test_strays_are_looked_at_in_turn(store: Store, merchant: Merchant) -> None:
    own = merchant.psp_settings_id
    for psp_id in ("a", "b", "c"):
        await store.add_stray(stray(merchant, psp_id))
    began = datetime.now(UTC)
    await store.check_stray(own, "a", owner_id=None, resolved=False)
    assert [one.psp_id for one in await store.open_strays(own)] == ["b", "c", "a"]
    assert [one.psp_id for one in await store.open_strays(own, began)] == ["b", "c"]
    assert [one.psp_id for one in await store.open_strays(own, limit=1)] == ["b"]


async def test_transactions_are_found_by_any_of_their_ids(store: Store, merchant: Merchant) -> None:
    other = await store.add_merchant("other", "sandbox")
    for owner, id in ((merchant, "t1"), (merchant, "t2"), (other, "t1")):
        await store.open_transaction(new_transaction(owner, id))
    await store.record(change(merchant, "t2", psp_transaction_id="ch_2"))
    found = await store.transactions_named("demo", "sandbox", {"t1", "ch_2", "unknown"})
    assert {(row.merchant_id, row.transaction_id) for row in found} == {
        ("demo", "t1"),
        ("demo", "t2"),
    }
    assert await store.transactions_named("demo", "another", {"t1"}) == []


async def test_transactions_are_compared_in_turn(store: Store, merchant: Merchant) -> None:
    for id in ("t1", "t2", "t3", "t4"):
        await store.open_transaction(new_transaction(merchant, id))
        if id != "t4":
            await store.record(change(merchant, id))
    await store.transactions_checked("demo", ["t1"])

    async def due(statuses: tuple[str, ...] = ("Pending",), limit: int = 9) -> list[str]:
        rows = await store.transactions_to_check(
            "demo", statuses, created_after=LONG_AGO, checked_before=soon(), limit=limit
        )
        return [row.transaction_id for row in rows]

    assert await due() == ["t2", "t3", "t1"]
    assert await due(limit=1) == ["t2"]
    assert await due(("Succeeded",)) == []
    assert (
        await store.transactions_to_check(
            "demo", ("Pending",), created_after=LONG_AGO, checked_before=LONG_AGO, limit=9
        )
        == []
    )
    assert (
        await store.transactions_to_check(
            "demo", ("Pending",), created_after=soon(), checked_before=soon(), limit=9
        )
        == []
    )


async def test_events_that_are_in_the_inbox_are_known(store: Store, merchant: Merchant) -> None:
    await store.store_notification(new_notification(merchant, "e1"))
    id, _ = await store.store_notification(
        new_notification(merchant, "e2", source="listed", headers=None)
    )
    own = merchant.psp_settings_id
    assert await store.known_events(own, {"e1", "e2", "e3"}) == {"e1", "e2"}
    assert await store.known_events("0" * 24, {"e1"}) == set()
    kept = await store.notification(id)
    assert kept is not None
    assert (kept.source, kept.headers) == ("listed", None)


async def test_a_notification_that_was_tried_often_waits_longer(
    store: Store, merchant: Merchant
) -> None:
    id, _ = await store.store_notification(new_notification(merchant))
    for _ in range(60):
        await store.set_notification(id, "parked")
    assert await store.undelivered_notifications(soon()) == []
    later = soon() + timedelta(hours=1)
    assert [row.id for row in await store.undelivered_notifications(later)] == [id]


async def test_what_was_there_before_reconciliation_is_kept(
    empty_url: str, cipher: KeyRing
) -> None:
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
        (row,) = await store.transactions_to_check(
            "demo", ("Pending",), created_after=LONG_AGO, checked_before=soon(), limit=9
        )
        assert row.checked_at == row.created_at
        assert await store.progress("abc") == Progress()
