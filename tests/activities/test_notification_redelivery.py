"""The sweeper of the inbox."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest
from temporalio.client import WorkflowExecutionStatus
from temporalio.service import RPCError, RPCStatusCode

from integrator.crypto.keys import DecryptionError
from integrator.jobs.notification_redelivery import InboxSweeper
from integrator.jobs.orphan_recovery import OrphanSweeper
from integrator.jobs.periodic import repeat
from integrator.store import (
    Merchant,
    NewNotification,
    NotificationRow,
    RecordUpdate,
    Store,
    StoreUnavailable,
)
from tests.activities.conftest import CHARGE, PREAUTH, Book, FakeTransactionClient
from workflows.messages import NotificationSignal, PaymentInput

AWAY = RPCError("connection refused", RPCStatusCode.UNAVAILABLE, b"")
BreakStore = Callable[[Store, str, Exception], None]


@pytest.fixture
def sweeper(store: Store, gateway: FakeTransactionClient) -> InboxSweeper:
    return InboxSweeper(store, gateway)


async def arrive(
    store: Store,
    merchant: Merchant,
    event_id: str = "evt_1",
    *,
    transaction_id: str | None = None,
    psp_ids: tuple[str, ...] = (),
) -> int:
    id, _ = await store.store_notification(
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


async def sweep(sweeper: InboxSweeper) -> int:
    return await sweeper.sweep(timedelta(seconds=-1))


async def kept(store: Store, id: int) -> NotificationRow:
    row = await store.notification(id)
    assert row is not None
    return row


async def test_a_stored_notification_is_signalled(
    store: Store,
    merchant: Merchant,
    book: Book,
    gateway: FakeTransactionClient,
    sweeper: InboxSweeper,
) -> None:
    await book.charge()
    id = await arrive(store, merchant, transaction_id=CHARGE)
    assert await sweep(sweeper) == 1
    assert gateway.logged("notify") == [NotificationSignal(notification_id=id, event_id="evt_1")]
    assert (await kept(store, id)).state == "signalled"


async def test_the_signal_can_reopen_the_transaction_from_its_stored_state(
    store: Store,
    merchant: Merchant,
    book: Book,
    gateway: FakeTransactionClient,
    sweeper: InboxSweeper,
) -> None:
    await book.charge()
    await arrive(store, merchant, transaction_id=CHARGE)
    await sweep(sweeper)
    (start,) = gateway.owners
    assert isinstance(start, PaymentInput)
    assert (start.merchant_id, start.transaction_id) == ("demo", CHARGE)
    assert start.resume is not None


async def test_a_signalled_notification_is_left_alone(
    store: Store,
    merchant: Merchant,
    book: Book,
    gateway: FakeTransactionClient,
    sweeper: InboxSweeper,
) -> None:
    await book.charge()
    await arrive(store, merchant, transaction_id=CHARGE)
    await sweep(sweeper)
    assert await sweep(sweeper) == 0
    assert len(gateway.logged("notify")) == 1


async def test_a_fresh_notification_is_left_to_the_api(
    store: Store,
    merchant: Merchant,
    book: Book,
    gateway: FakeTransactionClient,
    sweeper: InboxSweeper,
) -> None:
    await book.charge()
    id = await arrive(store, merchant, transaction_id=CHARGE)
    assert await sweeper.sweep() == 0
    assert gateway.log == []
    assert (await kept(store, id)).state == "stored"


async def test_a_notification_without_transaction_is_parked(
    store: Store, merchant: Merchant, gateway: FakeTransactionClient, sweeper: InboxSweeper
) -> None:
    id = await arrive(store, merchant, psp_ids=("ch_1",))
    assert await sweep(sweeper) == 0
    assert gateway.log == []
    assert (await kept(store, id)).state == "parked"


async def test_a_parked_notification_is_matched_once_the_psps_id_is_known(
    store: Store, merchant: Merchant, book: Book, sweeper: InboxSweeper
) -> None:
    id = await arrive(store, merchant, psp_ids=("ch_1",))
    await sweep(sweeper)
    row = await book.charge()
    await store.record(
        RecordUpdate("demo", CHARGE, "Pending", 1, row.snapshot, psp_transaction_id="ch_1")
    )
    assert await sweep(sweeper) == 1
    found = await kept(store, id)
    assert (found.state, found.transaction_id) == ("signalled", CHARGE)


async def test_a_parked_notification_that_names_us_is_matched_once_the_transaction_is_stored(
    store: Store, merchant: Merchant, book: Book, sweeper: InboxSweeper
) -> None:
    id = await arrive(store, merchant, transaction_id=CHARGE)
    assert await sweep(sweeper) == 0
    await book.charge()
    assert await sweep(sweeper) == 1
    assert (await kept(store, id)).state == "signalled"


async def test_a_notification_stays_stored_while_temporal_is_away(
    store: Store,
    merchant: Merchant,
    book: Book,
    gateway: FakeTransactionClient,
    sweeper: InboxSweeper,
) -> None:
    await book.charge()
    id = await arrive(store, merchant, transaction_id=CHARGE)
    gateway.failures = [AWAY]
    with pytest.raises(RPCError):
        await sweep(sweeper)
    assert (await kept(store, id)).state == "stored"
    assert await sweep(sweeper) == 1


async def test_a_signal_whose_record_was_lost_is_sent_again(
    store: Store,
    merchant: Merchant,
    book: Book,
    gateway: FakeTransactionClient,
    sweeper: InboxSweeper,
    break_store: BreakStore,
) -> None:
    await book.charge()
    await arrive(store, merchant, transaction_id=CHARGE)
    break_store(store, "set_notification", StoreUnavailable("locked"))
    with pytest.raises(StoreUnavailable):
        await sweep(sweeper)
    assert await sweep(sweeper) == 1
    first, second = gateway.logged("notify")
    assert first == second


@pytest.mark.parametrize("fault", [ValueError("unreadable state"), LookupError("unknown PSP")])
async def test_one_that_cannot_be_handed_on_does_not_hold_up_the_others(
    store: Store,
    merchant: Merchant,
    book: Book,
    gateway: FakeTransactionClient,
    sweeper: InboxSweeper,
    fault: Exception,
) -> None:
    await book.charge()
    await book.preauth()
    bad = await arrive(store, merchant, "evt_1", transaction_id=CHARGE)
    good = await arrive(store, merchant, "evt_2", transaction_id=PREAUTH)
    gateway.failures = [fault]
    assert await sweep(sweeper) == 1
    assert (await kept(store, good)).state == "signalled"
    left = await kept(store, bad)
    assert (left.state, left.outcome, left.attempts) == ("stored", type(fault).__name__, 1)


@pytest.mark.parametrize(
    "fault", [AWAY, RuntimeError("no client"), StoreUnavailable("locked"), DecryptionError("key")]
)
async def test_the_sweeper_outlives_every_fault(
    store: Store,
    merchant: Merchant,
    book: Book,
    gateway: FakeTransactionClient,
    sweeper: InboxSweeper,
    fault: Exception,
) -> None:
    await book.charge()
    await arrive(store, merchant, transaction_id=CHARGE)
    gateway.failures = [fault]
    running = asyncio.create_task(
        repeat("inbox", timedelta(milliseconds=5), lambda: sweep(sweeper))
    )
    async with asyncio.timeout(5):
        await gateway.notified.wait()
    assert not running.done()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_transaction_that_nobody_began_is_begun_after_a_while(
    store: Store, book: Book, gateway: FakeTransactionClient
) -> None:
    row = await book.charge()
    orphans = OrphanSweeper(store, gateway)
    assert await orphans.begin() == 0
    assert await orphans.begin(timedelta(seconds=-1)) == 1
    (start,) = gateway.logged("begin")
    assert (start.transaction_id, start.resume) == (row.transaction_id, None)


async def test_one_that_was_cancelled_before_it_ran_is_begun_again(
    store: Store, book: Book, gateway: FakeTransactionClient
) -> None:
    await book.charge()
    gateway.closed = WorkflowExecutionStatus.CANCELED
    assert await OrphanSweeper(store, gateway).begin(timedelta(seconds=-1)) == 1
    assert [start.resume for start in gateway.logged("begin")] == [None, None]


async def test_of_one_that_was_terminated_before_it_recorded_anything_the_psp_is_asked(
    store: Store, book: Book, gateway: FakeTransactionClient
) -> None:
    row = await book.charge()
    gateway.closed = WorkflowExecutionStatus.TERMINATED
    assert await OrphanSweeper(store, gateway).begin(timedelta(seconds=-1)) == 1
    assert gateway.logged("look_up") == [(row.transaction_id, None)]


async def test_a_transaction_with_a_recorded_state_is_no_orphan(
    store: Store, book: Book, gateway: FakeTransactionClient
) -> None:
    row = await book.charge()
    await store.record(RecordUpdate("demo", CHARGE, "Pending", 1, row.snapshot))
    assert await OrphanSweeper(store, gateway).begin(timedelta(seconds=-1)) == 0


async def test_an_outcome_whose_answer_never_got_out_is_announced_once(
    store: Store, book: Book, gateway: FakeTransactionClient
) -> None:
    row = await book.charge()
    await store.record(RecordUpdate("demo", CHARGE, "Pending", 1, row.snapshot))
    orphans = OrphanSweeper(store, gateway)
    assert await orphans.announce() == 0
    assert await orphans.announce(timedelta(seconds=-1)) == 1
    assert await orphans.announce(timedelta(seconds=-1)) == 0
    (start,) = gateway.logged("redeliver")
    assert start.resume is not None


async def test_an_outcome_that_was_answered_is_not_announced_again(
    store: Store, book: Book, gateway: FakeTransactionClient
) -> None:
    row = await book.charge()
    await store.record(RecordUpdate("demo", CHARGE, "Pending", 1, row.snapshot))
    await store.mark_responded(("demo", CHARGE))
    assert await OrphanSweeper(store, gateway).announce(timedelta(seconds=-1)) == 0


async def test_a_signal_that_was_never_read_is_sent_again(
    store: Store,
    merchant: Merchant,
    book: Book,
    gateway: FakeTransactionClient,
    sweeper: InboxSweeper,
) -> None:
    await book.charge()
    await arrive(store, merchant, transaction_id=CHARGE)
    await sweep(sweeper)
    assert await sweeper.sweep(timedelta(minutes=-20)) == 1
    assert len(gateway.logged("notify")) == 2
