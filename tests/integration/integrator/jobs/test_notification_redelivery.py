"""Test redelivery of stored notifications and recovery of orphaned transactions."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import update
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from integrator.crypto.keys import DecryptionError
from integrator.jobs.notification_redelivery import NotificationRedelivery
from integrator.jobs.orphan_recovery import OrphanRecovery
from integrator.jobs.periodic import run_periodically
from integrator.store import (
    Merchant,
    NewNotification,
    NotificationRow,
    RecordUpdate,
    Store,
    StoreUnavailable,
)
from integrator.store.repository import Repository
from integrator.store.tables import transactions
from tests.integration.activities.conftest import (
    CAPTURE,
    CHARGE,
    NOW,
    PREAUTH,
    REFUND,
    FakeTransactionClient,
    TransactionFactory,
)
from workflows.messages import NotificationSignal, PaymentInput
from workflows.state import RefundState

UNAVAILABLE = RPCError("connection refused", RPCStatusCode.UNAVAILABLE, b"")
BreakStore = Callable[[Repository, str, Exception], None]


@pytest.fixture
def redelivery(store: Store, transaction_client: FakeTransactionClient) -> NotificationRedelivery:
    return NotificationRedelivery(store, transaction_client)


async def add_notification(
    store: Store,
    merchant: Merchant,
    event_id: str = "evt_1",
    *,
    transaction_id: str | None = None,
    psp_ids: tuple[str, ...] = (),
) -> int:
    id, _ = await store.notifications.add(
        NewNotification(
            psp_settings_id=merchant.psp_settings_id,
            event_id=event_id,
            merchant_id=merchant.id,
            raw=b"{}",
            psp_ids=psp_ids,
            transaction_id=transaction_id,
        )
    )
    return id


async def run_now(redelivery: NotificationRedelivery) -> int:
    return await redelivery.run(timedelta(seconds=-1))


async def load(store: Store, id: int) -> NotificationRow:
    row = await store.notifications.get(id)
    assert row is not None
    return row


async def test_a_stored_notification_is_signalled(
    store: Store,
    merchant: Merchant,
    factory: TransactionFactory,
    transaction_client: FakeTransactionClient,
    redelivery: NotificationRedelivery,
) -> None:
    await factory.charge()
    id = await add_notification(store, merchant, transaction_id=CHARGE)
    assert await run_now(redelivery) == 1
    assert transaction_client.calls_of("notify") == [
        NotificationSignal(notification_id=id, event_id="evt_1")
    ]
    assert (await load(store, id)).state == "signalled"


async def test_the_signal_can_reopen_the_transaction_from_its_stored_state(
    store: Store,
    merchant: Merchant,
    factory: TransactionFactory,
    transaction_client: FakeTransactionClient,
    redelivery: NotificationRedelivery,
) -> None:
    await factory.charge()
    await add_notification(store, merchant, transaction_id=CHARGE)
    await run_now(redelivery)
    (start,) = transaction_client.starts
    assert isinstance(start, PaymentInput)
    assert (start.merchant_id, start.transaction_id) == ("demo", CHARGE)
    assert start.resume is not None


async def test_a_signalled_notification_is_not_signalled_again(
    store: Store,
    merchant: Merchant,
    factory: TransactionFactory,
    transaction_client: FakeTransactionClient,
    redelivery: NotificationRedelivery,
) -> None:
    await factory.charge()
    await add_notification(store, merchant, transaction_id=CHARGE)
    await run_now(redelivery)
    assert await run_now(redelivery) == 0
    assert len(transaction_client.calls_of("notify")) == 1


async def test_a_fresh_notification_is_left_to_the_api(
    store: Store,
    merchant: Merchant,
    factory: TransactionFactory,
    transaction_client: FakeTransactionClient,
    redelivery: NotificationRedelivery,
) -> None:
    await factory.charge()
    id = await add_notification(store, merchant, transaction_id=CHARGE)
    assert await redelivery.run() == 0
    assert transaction_client.log == []
    assert (await load(store, id)).state == "stored"


async def test_a_notification_of_a_parent_has_its_open_refunds_looked_up(
    store: Store,
    merchant: Merchant,
    factory: TransactionFactory,
    transaction_client: FakeTransactionClient,
    redelivery: NotificationRedelivery,
) -> None:
    row = await factory.refund()
    pending = RefundState.model_validate_json(row.snapshot)
    pending.mark_pending(NOW)
    await store.transactions.record(
        RecordUpdate("demo", REFUND, "Pending", pending.version, pending.model_dump_json())
    )
    await add_notification(store, merchant, transaction_id=CAPTURE)
    assert await run_now(redelivery) == 1
    assert transaction_client.calls_of("look_up") == [(REFUND, None)]
    assert len(transaction_client.calls_of("notify")) == 1


async def test_a_notification_without_transaction_is_parked(
    store: Store,
    merchant: Merchant,
    transaction_client: FakeTransactionClient,
    redelivery: NotificationRedelivery,
) -> None:
    id = await add_notification(store, merchant, psp_ids=("ch_1",))
    assert await run_now(redelivery) == 0
    assert transaction_client.log == []
    assert (await load(store, id)).state == "parked"


async def test_a_parked_notification_is_matched_once_the_psps_id_is_known(
    store: Store,
    merchant: Merchant,
    factory: TransactionFactory,
    redelivery: NotificationRedelivery,
) -> None:
    id = await add_notification(store, merchant, psp_ids=("ch_1",))
    await run_now(redelivery)
    row = await factory.charge()
    await store.transactions.record(
        RecordUpdate("demo", CHARGE, "Pending", 1, row.snapshot, psp_transaction_id="ch_1")
    )
    assert await run_now(redelivery) == 1
    stored = await load(store, id)
    assert (stored.state, stored.transaction_id) == ("signalled", CHARGE)


async def test_a_parked_notification_with_our_reference_is_matched_once_the_transaction_is_stored(
    store: Store,
    merchant: Merchant,
    factory: TransactionFactory,
    redelivery: NotificationRedelivery,
) -> None:
    id = await add_notification(store, merchant, transaction_id=CHARGE)
    assert await run_now(redelivery) == 0
    await factory.charge()
    assert await run_now(redelivery) == 1
    assert (await load(store, id)).state == "signalled"


async def test_a_notification_stays_stored_while_temporal_is_unavailable(
    store: Store,
    merchant: Merchant,
    factory: TransactionFactory,
    transaction_client: FakeTransactionClient,
    redelivery: NotificationRedelivery,
) -> None:
    await factory.charge()
    id = await add_notification(store, merchant, transaction_id=CHARGE)
    transaction_client.failures = [UNAVAILABLE]
    with pytest.raises(RPCError):
        await run_now(redelivery)
    assert (await load(store, id)).state == "stored"
    assert await run_now(redelivery) == 1


async def test_a_signal_whose_record_was_lost_is_sent_again(
    store: Store,
    merchant: Merchant,
    factory: TransactionFactory,
    transaction_client: FakeTransactionClient,
    redelivery: NotificationRedelivery,
    break_store: BreakStore,
) -> None:
    await factory.charge()
    await add_notification(store, merchant, transaction_id=CHARGE)
    break_store(store.notifications, "set_state", StoreUnavailable("locked"))
    with pytest.raises(StoreUnavailable):
        await run_now(redelivery)
    assert await run_now(redelivery) == 1
    first, second = transaction_client.calls_of("notify")
    assert first == second


@pytest.mark.parametrize("fault", [ValueError("unreadable state"), LookupError("unknown PSP")])
async def test_an_undeliverable_notification_does_not_block_others(
    store: Store,
    merchant: Merchant,
    factory: TransactionFactory,
    transaction_client: FakeTransactionClient,
    redelivery: NotificationRedelivery,
    fault: Exception,
) -> None:
    await factory.charge()
    await factory.preauth()
    bad = await add_notification(store, merchant, "evt_1", transaction_id=CHARGE)
    good = await add_notification(store, merchant, "evt_2", transaction_id=PREAUTH)
    transaction_client.failures = [fault]
    assert await run_now(redelivery) == 1
    assert (await load(store, good)).state == "signalled"
    failed = await load(store, bad)
    assert (failed.state, failed.outcome, failed.attempts) == ("stored", type(fault).__name__, 1)


@pytest.mark.parametrize(
    "fault",
    [UNAVAILABLE, RuntimeError("no client"), StoreUnavailable("locked"), DecryptionError("key")],
)
async def test_the_periodic_job_survives_every_failure(
    store: Store,
    merchant: Merchant,
    factory: TransactionFactory,
    transaction_client: FakeTransactionClient,
    redelivery: NotificationRedelivery,
    fault: Exception,
) -> None:
    await factory.charge()
    await add_notification(store, merchant, transaction_id=CHARGE)
    transaction_client.failures = [fault]
    running = asyncio.create_task(
        run_periodically("inbox", timedelta(milliseconds=5), lambda: run_now(redelivery))
    )
    async with asyncio.timeout(30):
        await transaction_client.notified.wait()
    assert not running.done()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_an_unstarted_transaction_is_started_after_the_grace_period(
    store: Store, factory: TransactionFactory, transaction_client: FakeTransactionClient
) -> None:
    row = await factory.charge()
    orphans = OrphanRecovery(store, transaction_client)
    assert await orphans.start_unstarted() == 0
    assert await orphans.start_unstarted(timedelta(seconds=-1)) == 1
    (start,) = transaction_client.calls_of("ensure_started")
    assert (start.transaction_id, start.resume) == (row.transaction_id, None)


async def test_a_workflow_cancelled_before_it_ran_is_started_again(
    store: Store, factory: TransactionFactory, transaction_client: FakeTransactionClient
) -> None:
    await factory.charge()
    transaction_client.closed = WorkflowExecutionStatus.CANCELED
    assert (
        await OrphanRecovery(store, transaction_client).start_unstarted(timedelta(seconds=-1)) == 1
    )
    assert [start.resume for start in transaction_client.calls_of("ensure_started")] == [None, None]


async def test_a_workflow_terminated_before_it_recorded_anything_is_looked_up(
    store: Store, factory: TransactionFactory, transaction_client: FakeTransactionClient
) -> None:
    row = await factory.charge()
    transaction_client.closed = WorkflowExecutionStatus.TERMINATED
    assert (
        await OrphanRecovery(store, transaction_client).start_unstarted(timedelta(seconds=-1)) == 1
    )
    assert transaction_client.calls_of("look_up") == [(row.transaction_id, None)]


async def test_a_transaction_with_a_recorded_state_is_not_an_orphan(
    store: Store, factory: TransactionFactory, transaction_client: FakeTransactionClient
) -> None:
    row = await factory.charge()
    await store.transactions.record(RecordUpdate("demo", CHARGE, "Pending", 1, row.snapshot))
    assert (
        await OrphanRecovery(store, transaction_client).start_unstarted(timedelta(seconds=-1)) == 0
    )


async def test_an_outcome_without_a_response_is_announced_once(
    store: Store, factory: TransactionFactory, transaction_client: FakeTransactionClient
) -> None:
    row = await factory.charge()
    await store.transactions.record(RecordUpdate("demo", CHARGE, "Pending", 1, row.snapshot))
    orphans = OrphanRecovery(store, transaction_client)
    assert await orphans.announce_unanswered() == 0
    assert await orphans.announce_unanswered(timedelta(seconds=-1)) == 1
    assert await orphans.announce_unanswered(timedelta(seconds=-1)) == 0
    (start,) = transaction_client.calls_of("redeliver")
    assert start.resume is not None


async def test_a_row_that_cannot_be_started_stops_no_other(
    store: Store, factory: TransactionFactory, transaction_client: FakeTransactionClient
) -> None:
    """Two bad rows stand before the good one: of an unknown role, and not to be decrypted."""
    await factory.capture()
    await factory.charge()
    await change_row(store, PREAUTH, role="Gone")
    await change_row(store, CAPTURE, sealed_snapshot=b"garbage")
    orphans = OrphanRecovery(store, transaction_client)
    assert await orphans.start_unstarted(timedelta(seconds=-1)) == 1
    assert [start.transaction_id for start in transaction_client.calls_of("ensure_started")] == [
        CHARGE
    ]
    failed = await store.quarantine.list_entries(tries=1)
    assert {entry.key for entry in failed} == {PREAUTH, CAPTURE}
    # They wait: the next run is not slowed down by them.
    assert await orphans.start_unstarted(timedelta(seconds=-1)) == 1
    assert {entry.tries for entry in await store.quarantine.list_entries(tries=1)} == {1}
    await change_row(store, PREAUTH, role="CreditCard")
    await store.quarantine.retry("demo", PREAUTH)
    assert await orphans.start_unstarted(timedelta(seconds=-1)) == 2
    assert {key for _, key in await store.quarantine.list_keys("orphans")} == {CAPTURE}


async def change_row(store: Store, transaction_id: str, **values: object) -> None:
    async with store.transactions._session.write_transaction() as connection:
        row = transactions.c.transaction_id == transaction_id
        await connection.execute(update(transactions).where(row).values(values))


async def test_an_outage_sets_no_row_aside(
    store: Store, factory: TransactionFactory, transaction_client: FakeTransactionClient
) -> None:
    await factory.charge()
    transaction_client.failures = [RPCError("away", RPCStatusCode.UNAVAILABLE, b"")]
    with pytest.raises(RPCError):
        await OrphanRecovery(store, transaction_client).start_unstarted(timedelta(seconds=-1))
    assert await store.quarantine.list_entries(tries=1) == []


async def test_an_outcome_with_a_response_is_not_announced(
    store: Store, factory: TransactionFactory, transaction_client: FakeTransactionClient
) -> None:
    row = await factory.charge()
    await store.transactions.record(RecordUpdate("demo", CHARGE, "Pending", 1, row.snapshot))
    await store.transactions.mark_responded(("demo", CHARGE))
    assert (
        await OrphanRecovery(store, transaction_client).announce_unanswered(timedelta(seconds=-1))
        == 0
    )


async def test_a_signal_that_was_never_read_is_sent_again(
    store: Store,
    merchant: Merchant,
    factory: TransactionFactory,
    transaction_client: FakeTransactionClient,
    redelivery: NotificationRedelivery,
) -> None:
    await factory.charge()
    await add_notification(store, merchant, transaction_id=CHARGE)
    await run_now(redelivery)
    assert await redelivery.run(timedelta(minutes=-20)) == 1
    assert len(transaction_client.calls_of("notify")) == 2
