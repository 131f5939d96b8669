"""What waits in the books, counted by statements that an index answers."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Select, text
from sqlalchemy.dialects import sqlite

from integrator.store import DeliveryRow, Merchant, NewUnmatchedMovement, Store, backlog
from integrator.store.backlog import Figures, Waiting
from integrator.store.engine import open_engine
from tests.store.builders import change, new_notification, new_transaction

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=3)


def groups(waiting: list[Waiting]) -> dict[tuple[str, ...], int]:
    return {one.group: one.count for one in waiting}


def delivery(merchant: Merchant, transaction_id: str, version: int, state: str) -> DeliveryRow:
    return DeliveryRow(
        merchant_id=merchant.id,
        transaction_id=transaction_id,
        version=version,
        state=state,  # type: ignore[arg-type]
        attempts=1,
        began_at=LONG_AGO,
        last_attempt_at=NOW,
        delivered_at=NOW if state == "delivered" else None,
        last_status=None,
        last_error=None,
    )


async def test_an_empty_store_waits_for_nothing(store: Store) -> None:
    assert await store.figures() == Figures([], [], [], [], [], [])


async def test_transactions_without_a_decision(store: Store, merchant: Merchant) -> None:
    for id in ("t1", "t2", "t3"):
        await store.open_transaction(new_transaction(merchant, id))
    await store.open_transaction(new_transaction(merchant, "t4", role="CreditCard"))
    await store.record(change(merchant, "t1", status="Succeeded", evidence="{}"))
    await store.record(change(merchant, "t2", status="Pending"))
    found = (await store.figures()).undecided
    assert groups(found) == {("payment", "Debit"): 2, ("payment", "CreditCard"): 1}
    assert all(NOW - timedelta(minutes=1) < one.since for one in found)


async def test_transactions_that_ask_for_a_person(store: Store, merchant: Merchant) -> None:
    for id in ("t1", "t2"):
        await store.open_transaction(new_transaction(merchant, id))
    await store.record(change(merchant, "t1", needs_attention=True))
    assert groups((await store.figures()).attention) == {("payment",): 1}


async def test_changes_that_nobody_has_heard_of(store: Store, merchant: Merchant) -> None:
    for id in ("t1", "t2", "t3", "t4"):
        await store.open_transaction(new_transaction(merchant, id))
    await store.record_delivery(delivery(merchant, "t1", 1, "delivered"))
    await store.record_delivery(delivery(merchant, "t2", 1, "delivering"))
    await store.record_delivery(delivery(merchant, "t3", 1, "undelivered"))
    # What was given up once is told by a later version.
    await store.record_delivery(delivery(merchant, "t4", 1, "undelivered"))
    await store.record_delivery(delivery(merchant, "t4", 2, "delivered"))
    found = (await store.figures()).webhooks
    assert groups(found) == {("delivering",): 1, ("undelivered",): 1}
    assert {one.since for one in found} == {LONG_AGO}


async def test_notifications_that_nobody_has_read(store: Store, merchant: Merchant) -> None:
    ids = [
        (await store.store_notification(new_notification(merchant, event_id)))[0]
        for event_id in ("e1", "e2", "e3")
    ]
    await store.set_notification(ids[1], "parked")
    await store.set_notification(ids[2], "applied")
    assert groups((await store.figures()).notifications) == {("stored",): 1, ("parked",): 1}


async def test_movements_and_how_far_they_are_compared(store: Store, merchant: Merchant) -> None:
    own = merchant.psp_settings_id
    for psp_id in ("ch_1", "ch_2"):
        new = NewUnmatchedMovement(
            psp_settings_id=own,
            psp_id=psp_id,
            kind="payment",
            amount=Decimal(1),
            currency="EUR",
            reference=None,
            parent_psp_id=None,
            owner_id=None,
            booked_at=LONG_AGO,
        )
        await store.add_stray(new)
    await store.check_stray(own, "ch_1", owner_id=None, resolved=True)
    await store.checked_until(own, LONG_AGO)
    found = await store.figures()
    assert found.strays == [Waiting((merchant.id,), 1, LONG_AGO)]
    (compared,) = found.compared
    assert (compared.merchant, compared.psp, compared.until) == (merchant.id, "sandbox", LONG_AGO)


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (backlog._UNDECIDED, "ix_transactions_undecided"),
        (backlog._ATTENTION, "ix_transactions_attention"),
        (backlog._WEBHOOKS, "ix_deliveries_open"),
        (backlog._NOTIFICATIONS, "ix_notifications_state"),
        (backlog._STRAYS, "ix_strays_psp_settings_id"),
    ],
)
async def test_an_index_answers(sqlite_url: str, statement: Select[tuple[int]], index: str) -> None:
    compiled = statement.compile(
        dialect=sqlite.dialect(),
        compile_kwargs={"literal_binds": True},
    )
    engine = open_engine(sqlite_url)
    async with engine.connect() as connection:
        plan = await connection.execute(text(f"EXPLAIN QUERY PLAN {compiled}"))
        assert index in str(plan.all())
    await engine.dispose()
