"""Counts of open items in the store, by statements that use an index."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from sqlalchemy import Select, text
from sqlalchemy.dialects import sqlite

from integrator.store import (
    BacklogCounts,
    BacklogGroup,
    DeliveryRow,
    Merchant,
    NewUnmatchedMovement,
    Store,
    backlog,
)
from integrator.store.engine import open_engine
from integrator.store.models import NOT_SENT
from tests.integration.integrator.store.builders import (
    new_notification,
    new_transaction,
    record_update,
)

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=3)


def counts_by_group(open_items: list[BacklogGroup]) -> dict[tuple[str, ...], int]:
    return {item.group: item.count for item in open_items}


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


async def test_an_empty_store_has_no_open_items(store: Store) -> None:
    assert await store.backlog.get_counts() == BacklogCounts([], [], [], [], [], [])


async def test_transactions_without_a_final_status_are_counted(
    store: Store, merchant: Merchant
) -> None:
    for id in ("t1", "t2", "t3"):
        await store.transactions.add(new_transaction(merchant, id))
    await store.transactions.add(new_transaction(merchant, "t4", role="CreditCard"))
    await store.transactions.record(
        record_update(merchant, "t1", status="Succeeded", evidence="{}")
    )
    await store.transactions.record(record_update(merchant, "t2", status="Pending"))
    undecided = (await store.backlog.get_counts()).undecided
    assert counts_by_group(undecided) == {("payment", "Debit"): 2, ("payment", "CreditCard"): 1}
    assert all(NOW - timedelta(minutes=1) < item.since for item in undecided)


async def test_undecided_transactions_are_counted_by_reason(
    store: Store, merchant: Merchant
) -> None:
    for id in ("lost", "unsent", "known", "asked", "page", "dated", "decided"):
        kind = "preauth" if id == "page" else "payment"
        await store.transactions.add(new_transaction(merchant, id, kind=kind))
    await store.transactions.set_send_mark(merchant.id, "unsent", NOT_SENT, expected=None)
    await store.transactions.record(
        record_update(merchant, "known", status="Pending", psp_transaction_id="ch_1")
    )
    await store.transactions.record(
        record_update(merchant, "asked", status="Pending", needs_attention=True)
    )
    await store.transactions.record(record_update(merchant, "page", status="Initiated"))
    await store.transactions.record(
        record_update(merchant, "dated", send_at=NOW + timedelta(days=20))
    )
    await store.transactions.record(
        record_update(merchant, "decided", status="Succeeded", evidence="{}")
    )
    groups = await store.backlog.list_undecided_reasons(merchant.id)
    expected = {(reason,): 1 for reason in backlog.UNDECIDED_REASONS}
    assert counts_by_group(groups) == expected
    assert counts_by_group((await store.backlog.get_counts()).undecided_reasons) == expected
    assert groups == sorted(groups, key=lambda group: group.since)
    assert await store.backlog.list_undecided_reasons("another") == []


async def test_transactions_that_need_attention_are_counted(
    store: Store, merchant: Merchant
) -> None:
    for id in ("t1", "t2"):
        await store.transactions.add(new_transaction(merchant, id))
    await store.transactions.record(record_update(merchant, "t1", needs_attention=True))
    assert counts_by_group((await store.backlog.get_counts()).attention) == {("payment",): 1}


async def test_undelivered_webhooks_are_counted(store: Store, merchant: Merchant) -> None:
    for id in ("t1", "t2", "t3", "t4"):
        await store.transactions.add(new_transaction(merchant, id))
    await store.deliveries.record(delivery(merchant, "t1", 1, "delivered"))
    await store.deliveries.record(delivery(merchant, "t2", 1, "delivering"))
    await store.deliveries.record(delivery(merchant, "t3", 1, "undelivered"))
    # A later version replaces a delivery that was given up.
    await store.deliveries.record(delivery(merchant, "t4", 1, "undelivered"))
    await store.deliveries.record(delivery(merchant, "t4", 2, "delivered"))
    webhooks = (await store.backlog.get_counts()).webhooks
    assert counts_by_group(webhooks) == {("delivering",): 1, ("undelivered",): 1}
    assert {item.since for item in webhooks} == {LONG_AGO}


async def test_notifications_not_applied_are_counted(store: Store, merchant: Merchant) -> None:
    ids = [
        (await store.notifications.add(new_notification(merchant, event_id)))[0]
        for event_id in ("e1", "e2", "e3")
    ]
    await store.notifications.set_state(ids[1], "parked")
    await store.notifications.set_state(ids[2], "applied")
    assert counts_by_group((await store.backlog.get_counts()).notifications) == {
        ("stored",): 1,
        ("parked",): 1,
    }


async def test_unmatched_movements_and_comparison_progress(
    store: Store, merchant: Merchant
) -> None:
    settings_id = merchant.psp_settings_id
    for psp_id in ("ch_1", "ch_2"):
        new = NewUnmatchedMovement(
            psp_settings_id=settings_id,
            psp_id=psp_id,
            kind="payment",
            amount=Decimal(1),
            currency="EUR",
            reference=None,
            parent_psp_id=None,
            owner_id=None,
            booked_at=LONG_AGO,
        )
        await store.unmatched_movements.add(new)
    await store.unmatched_movements.record_check(settings_id, "ch_1", owner_id=None, resolved=True)
    await store.reconciliation.record_checked_until(settings_id, LONG_AGO)
    counts = await store.backlog.get_counts()
    assert counts.unmatched_movements == [BacklogGroup((merchant.id,), 1, LONG_AGO)]
    (comparison,) = counts.comparisons
    assert (comparison.merchant, comparison.psp, comparison.until) == (
        merchant.id,
        "sandbox",
        LONG_AGO,
    )


@pytest.mark.parametrize(
    ("statement", "index"),
    [
        (backlog._UNDECIDED, "ix_transactions_undecided"),
        (backlog._UNDECIDED_REASONS, "ix_transactions_undecided"),
        (backlog._ATTENTION, "ix_transactions_attention"),
        (backlog._WEBHOOKS, "ix_deliveries_open"),
        (backlog._NOTIFICATIONS, "ix_notifications_state"),
        (backlog._UNMATCHED_MOVEMENTS, "ix_strays_psp_settings_id"),
    ],
)
async def test_every_count_uses_an_index(
    sqlite_url: str, statement: Select[tuple[int]], index: str
) -> None:
    compiled = statement.compile(
        dialect=sqlite.dialect(),
        compile_kwargs={"literal_binds": True},
    )
    engine = open_engine(sqlite_url)
    async with engine.connect() as connection:
        plan = await connection.execute(text(f"EXPLAIN QUERY PLAN {compiled}"))
        assert index in str(plan.all())
    await engine.dispose()
