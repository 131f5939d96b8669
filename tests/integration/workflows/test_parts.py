"""The parts of a transaction's workflow, each on its own and without Temporal."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from temporalio import workflow
from temporalio.common import TypedSearchAttributes

from integrator.contract.enums import PaymentCancellationStatus, PaymentErrorCode
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.types import Declined, Outcome, Pending
from tests.integration.workflows.parts import (
    NOW,
    WORKFLOW_ID,
    WorkflowRuntime,
    activity_failure,
    context_of,
    run_until,
)
from tests.unit.workflows.test_state import (
    EXPIRES,
    approved,
    authorized,
    declined,
    evidence,
    fact,
    paid,
    payment,
    pending,
    preauth,
    refund,
    succeeded_payment,
    succeeded_preauth,
)
from workflows import activity_plans, search_attributes, timeouts
from workflows.change_notifier import ChangeNotifier
from workflows.deadlines import ChargebackWindow, Deadline, PreauthExpiry
from workflows.lookup import Lookup
from workflows.messages import (
    DeliveryState,
    NotificationResult,
    NotificationSignal,
    PspFailure,
    PspReply,
    RecordReply,
    WebhookReply,
)
from workflows.metrics import StateMetrics
from workflows.notification_reader import NotificationReader
from workflows.preauth_void import PreauthVoid
from workflows.psp_operation import PspOperation
from workflows.reservation_client import ReservationClient, reservation_result
from workflows.search_attributes import WebhookState
from workflows.snapshot_recorder import SnapshotRecorder
from workflows.state import (
    AnyState,
    Change,
    Decision,
    DecisionKind,
    EvidenceKind,
    PaymentState,
    PreauthState,
    TransactionKind,
)
from workflows.temporal_ui import TemporalUi
from workflows.transaction_context import TransactionContext

CancelStatus = PaymentCancellationStatus


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> WorkflowRuntime:
    runtime = WorkflowRuntime()
    for name, replacement in {
        "now": runtime.now,
        "info": runtime.info,
        "execute_activity": runtime.execute_regular,
        "patched": runtime.patched,
        "payload_converter": runtime.payload_converter,
        "execute_local_activity": runtime.execute,
        "wait_condition": runtime.wait_condition,
        "upsert_search_attributes": runtime.upserts.append,
        "set_current_details": runtime.details.append,
    }.items():
        monkeypatch.setattr(workflow, name, replacement)
    return runtime


def answer(outcome: Outcome | None, *, absent: bool = False, settled: bool = False) -> PspReply:
    return PspReply(
        outcome=outcome, evidence=EvidenceKind.READ, absence_proven=absent, settled=settled
    )


def capture(context: TransactionContext) -> PspOperation:
    reservation = ReservationClient(context, TransactionKind.PREAUTH, "pre1")
    return PspOperation(context, reservation, activity_plans.CAPTURE)


def charge(context: TransactionContext) -> PspOperation:
    return PspOperation(context, ReservationClient(context), activity_plans.CHARGE)


def payment_lookup(
    context: TransactionContext, due_date: date | None = None, void: PreauthVoid | None = None
) -> Lookup:
    operation = charge(context)
    return Lookup(context, operation, activity_plans.FETCH_PAYMENT, due_date=due_date, void=void)


@pytest.mark.usefixtures("runtime")
class TestTransactionContext:
    def test_a_visible_change_is_announced(self) -> None:
        context = context_of(payment())
        context.apply(approved(paid()), EvidenceKind.ANSWER, "charge")
        assert context.state.status is Status.Succeeded
        assert context.has_unrecorded_version
        assert context.has_unannounced_version

    def test_the_waiting_callers_result_is_not_announced(self) -> None:
        context = context_of(payment())
        context.caller_waiting = True
        context.apply(approved(paid()), EvidenceKind.ANSWER, "charge")
        assert context.has_unrecorded_version
        assert not context.has_unannounced_version

    def test_an_internal_change_is_not_announced(self) -> None:
        context = context_of(payment())
        context.announce_change(context.state.flag_attention("Look at this."))
        context.announce_change(Change.NONE)
        assert not context.has_unannounced_version

    def test_a_call_has_the_key_of_its_workflow_and_step(self) -> None:
        call = context_of(payment()).psp_call("capture", owner_id="pre1")
        assert call.idempotency_key == f"{WORKFLOW_ID}/capture"
        assert (call.owner_id, call.psp_id) == ("pre1", None)

    def test_only_a_resumed_run_is_released_from_the_start(self) -> None:
        context = context_of(succeeded_payment())
        resumed = context.start.model_copy(update={"resume": context.state})
        assert not context.released
        assert TransactionContext(resumed, context.state).released


class TestReservationClient:
    async def test_an_undecided_result_is_not_reported(self, runtime: WorkflowRuntime) -> None:
        context = context_of(payment())
        await ReservationClient(context, TransactionKind.PREAUTH, "pre1").close(context.state)
        assert runtime.calls == []

    async def test_without_a_parent_nothing_is_reported(self, runtime: WorkflowRuntime) -> None:
        context = context_of(succeeded_payment())
        await ReservationClient(context, TransactionKind.PREAUTH).close(context.state)
        assert runtime.calls == []

    async def test_a_result_is_reported_once(self, runtime: WorkflowRuntime) -> None:
        context = context_of(succeeded_payment())
        client = ReservationClient(context, TransactionKind.PREAUTH, "pre1")
        runtime.results[activity_plans.CLOSE_RESERVATION.name] = [True]
        await asyncio.gather(client.close(context.state), client.close(context.state))
        (call,) = runtime.calls_of(activity_plans.CLOSE_RESERVATION)
        assert (call.owner_kind, call.owner_id) == (TransactionKind.PREAUTH, "pre1")
        assert call.settlement.booked

    async def test_a_result_that_the_parent_has_is_not_reported(
        self, runtime: WorkflowRuntime
    ) -> None:
        context = context_of(succeeded_payment())
        client = ReservationClient(context, TransactionKind.PREAUTH, "pre1")
        client.mark_closed(context.state)
        await client.close(context.state)
        assert runtime.calls == []

    def test_the_result_of_a_refund_contains_the_movement(self) -> None:
        state = refund()
        assert reservation_result(state).refund is None
        state.apply(approved(fact(state.movement_kind)), evidence())
        result = reservation_result(state)
        assert result.booked
        assert result.refund is not None
        assert result.refund.amount == Decimal("10.00")


class TestPspOperation:
    async def test_an_answer_is_folded_and_the_operation_ends(
        self, runtime: WorkflowRuntime
    ) -> None:
        context = context_of(payment())
        context.operation_running = True
        runtime.results["charge"] = [answer(approved(paid()))]
        await charge(context).run()
        assert context.state.status is Status.Succeeded
        assert not context.operation_running

    async def test_an_unknown_outcome_stays_pending(self, runtime: WorkflowRuntime) -> None:
        context = context_of(payment())
        runtime.results["charge"] = [activity_failure(PspFailure.KEY_EXPIRED)]
        await charge(context).run()
        assert context.state.status is Status.Pending
        assert context.state.attention is not None

    async def test_a_failure_is_visible_only_after_its_reservation_is_released(
        self, runtime: WorkflowRuntime
    ) -> None:
        context = context_of(payment())
        seen: list[Status] = []

        def close(_: object) -> bool:
            seen.append(context.state.status)
            return True

        runtime.results["capture"] = [answer(declined())]
        runtime.results[activity_plans.CLOSE_RESERVATION.name] = [close]
        await capture(context).run()
        assert seen == [Status.Initiated]
        assert context.state.status is Status.Failed

    async def test_a_success_is_visible_before_its_reservation_is_closed(
        self, runtime: WorkflowRuntime
    ) -> None:
        context = context_of(payment())
        seen: list[Status] = []

        def close(_: object) -> bool:
            seen.append(context.state.status)
            return True

        runtime.results["capture"] = [answer(approved(paid()))]
        runtime.results[activity_plans.CLOSE_RESERVATION.name] = [close]
        await capture(context).run()
        assert seen == [Status.Succeeded]

    async def test_a_reservation_that_the_activity_closed_is_not_closed_again(
        self, runtime: WorkflowRuntime
    ) -> None:
        context = context_of(payment())
        runtime.results["capture"] = [answer(declined(), settled=True)]
        await capture(context).run()
        assert context.state.status is Status.Failed
        assert runtime.calls_of(activity_plans.CLOSE_RESERVATION) == []

    @pytest.mark.usefixtures("runtime")
    async def test_a_reported_failure_stops_sending_and_requests_a_look_up(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        context = context_of(payment())
        operation = charge(context)

        async def execute(*_: object, **__: object) -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(workflow, "execute_activity", execute)
        sending = asyncio.create_task(operation.run())
        await asyncio.sleep(0)
        await operation.fold(declined(), EvidenceKind.NOTIFICATION, "evt_1")
        await sending
        assert context.state.status is Status.Failed
        assert context.lookup_schedule.requested

    async def test_after_a_decided_failure_nothing_is_sent(self, runtime: WorkflowRuntime) -> None:
        context = context_of(payment())
        operation = charge(context)
        decision = Decision(kind=DecisionKind.FAILED, by="op", reason="The PSP lost it.", at=NOW)
        assert await operation.apply_decision(decision) is None
        assert context.state.status is Status.Failed
        assert context.released
        await operation.run()
        assert runtime.calls == []


class TestLookup:
    async def test_an_answer_is_folded(self, runtime: WorkflowRuntime) -> None:
        context = context_of(payment())
        runtime.results["fetch_payment"] = [answer(approved(paid()))]
        assert await payment_lookup(context).run() is not None
        assert context.state.status is Status.Succeeded

    async def test_an_unavailable_psp_changes_nothing(self, runtime: WorkflowRuntime) -> None:
        context = context_of(payment())
        context.request_lookup()
        runtime.results["fetch_payment"] = [activity_failure()]
        assert await payment_lookup(context).run() is None
        assert context.lookup_schedule.requested
        assert context.state.version == 0

    @pytest.mark.parametrize(
        ("operation_running", "status"), [(False, Status.Failed), (True, Status.Initiated)]
    )
    async def test_proven_absence_fails_what_is_not_being_sent(
        self, runtime: WorkflowRuntime, operation_running: bool, status: Status
    ) -> None:
        context = context_of(payment())
        context.operation_running = operation_running
        runtime.results["fetch_payment"] = [answer(None, absent=True)]
        await payment_lookup(context).run()
        assert context.state.status is status

    async def test_additional_ids_are_asked_about_first(self, runtime: WorkflowRuntime) -> None:
        context = context_of(payment())
        context.lookup_schedule.add_id("ch_2")
        runtime.results["fetch_payment"] = [answer(pending()), answer(pending())]
        await payment_lookup(context).run()
        ids = [call.psp_id for call in runtime.calls_of(activity_plans.FETCH_PAYMENT)]
        assert ids == ["ch_2", "psp_1"]
        assert context.lookup_schedule.extra_ids == []

    @pytest.mark.parametrize(
        ("due", "later", "overdue"),
        [
            (None, timedelta(), False),
            (None, timedelta(minutes=1), True),
            (date(2026, 1, 20), timedelta(minutes=1), False),
            (date(2026, 1, 20), timedelta(days=5), True),
        ],
    )
    async def test_a_missing_decision_is_flagged_two_weeks_after_the_due_date(
        self, runtime: WorkflowRuntime, due: date | None, later: timedelta, overdue: bool
    ) -> None:
        context = context_of(payment())
        runtime.time = NOW + timeouts.UNDECIDED_LIMIT + later
        runtime.results["fetch_payment"] = [answer(pending())]
        await payment_lookup(context, due).run()
        assert (context.state.attention is not None) is overdue

    def test_the_outcome_is_open_from_the_first_answer_to_the_decision(self) -> None:
        context = context_of(payment())
        lookup = payment_lookup(context)
        assert not lookup.outcome_open
        context.state.apply(pending(), evidence())
        assert lookup.outcome_open
        context.operation_running = True
        assert not lookup.outcome_open
        context.operation_running = False
        context.state.apply(approved(paid()), evidence())
        assert not lookup.outcome_open

    async def test_an_open_void_is_looked_up_and_sent_again(self, runtime: WorkflowRuntime) -> None:
        state = succeeded_preauth()
        context = context_of(state)
        void = PreauthVoid(context, state, asyncio.Lock())
        lookup = payment_lookup(context, void=void)
        assert not lookup.outcome_open
        state.begin_void()
        assert lookup.outcome_open
        runtime.results["fetch_payment"] = [answer(approved(authorized()))]
        runtime.results["void"] = [answer(approved())]
        await lookup.run()
        assert state.status is Status.Cancelled


class TestNotificationReader:
    def reader(self, context: TransactionContext) -> NotificationReader:
        return NotificationReader(context, charge(context))

    async def test_an_outcome_is_folded(self, runtime: WorkflowRuntime) -> None:
        context = context_of(payment())
        reader = self.reader(context)
        runtime.results["read_notification"] = [
            NotificationResult(outcome=pending(), event_id="evt_1"),
            NotificationResult(outcome=approved(paid()), event_id="evt_2"),
        ]
        reader.add(NotificationSignal(notification_id=1))
        reader.add(NotificationSignal(notification_id=2))
        assert reader.pending_count == 2
        await run_until(reader.run(), lambda: not reader.pending_count)
        assert context.state.evidence is not None
        assert context.state.evidence.source == "evt_2"

    @pytest.mark.parametrize("readable", [True, False])
    async def test_what_has_no_outcome_is_looked_up(
        self, runtime: WorkflowRuntime, readable: bool
    ) -> None:
        context = context_of(payment())
        reader = self.reader(context)
        fetch = NotificationResult(outcome=None, event_id="evt_1", fetch=True)
        runtime.results["read_notification"] = [fetch if readable else activity_failure()]
        reader.add(NotificationSignal(notification_id=1))
        await run_until(reader.run(), lambda: not reader.pending_count)
        assert context.lookup_schedule.requested
        assert (context.state.attention is None) is readable


class TestPreauthVoid:
    def void(self, state: PreauthState) -> PreauthVoid:
        return PreauthVoid(context_of(state), state, asyncio.Lock())

    @pytest.mark.parametrize(
        ("outcome", "status", "cancelled"),
        [
            (approved(), CancelStatus.Succeeded, True),
            (declined(Status.Cancelled), CancelStatus.Succeeded, True),
            (declined(), CancelStatus.Failed, False),
            (Pending(psp_id=None), CancelStatus.Pending, False),
        ],
    )
    async def test_the_reply_is_the_psps_answer(
        self, runtime: WorkflowRuntime, outcome: Outcome, status: CancelStatus, cancelled: bool
    ) -> None:
        state = succeeded_preauth()
        runtime.results["void"] = [answer(outcome)]
        assert (await self.void(state).cancel()).status is status
        assert (state.status is Status.Cancelled) is cancelled

    async def test_a_rejection_of_the_credentials_is_a_refusal(
        self, runtime: WorkflowRuntime
    ) -> None:
        rejected = Declined(code=PaymentErrorCode.LoginError, message="No access.")
        runtime.results["void"] = [answer(rejected)]
        reply = await self.void(succeeded_preauth()).cancel()
        assert reply.status is CancelStatus.NotCancelled
        assert reply.refusal is not None
        assert reply.refusal.code is PaymentErrorCode.LoginError

    async def test_each_void_after_a_failed_one_has_its_own_key(
        self, runtime: WorkflowRuntime
    ) -> None:
        void = self.void(succeeded_preauth())
        runtime.results["void"] = [answer(declined()), answer(approved())]
        await void.cancel()
        await void.cancel()
        keys = [call.idempotency_key for call in runtime.calls_of(activity_plans.VOID)]
        assert keys == [f"{WORKFLOW_ID}/void/0", f"{WORKFLOW_ID}/void/1"]

    async def test_a_captured_preauth_is_not_voided(self, runtime: WorkflowRuntime) -> None:
        state = succeeded_preauth()
        state.captured_by = "pay1"
        assert (await self.void(state).cancel()).status is CancelStatus.NotCancelled
        assert runtime.calls == []

    async def test_an_accepted_void_has_two_days_until_still_held_counts(
        self, runtime: WorkflowRuntime
    ) -> None:
        state = succeeded_preauth()
        void = self.void(state)
        runtime.results["void"] = [answer(Pending(psp_id=None))]
        await void.cancel()
        assert void.needs_lookup
        held = answer(approved(authorized()))
        await void.check_lookup(held)
        assert void.needs_lookup
        runtime.time += timeouts.VOID_GRACE + timedelta(seconds=1)
        await void.check_lookup(held)
        assert not void.needs_lookup
        assert state.attention is not None

    async def test_while_a_caller_waits_look_ups_do_not_interfere(self) -> None:
        state = succeeded_preauth()
        lock = asyncio.Lock()
        void = PreauthVoid(context_of(state), state, lock)
        state.begin_void()
        async with lock:
            assert not void.needs_lookup
            await void.check_lookup(answer(approved(authorized())))
            assert state.cancelling
        assert void.needs_lookup


class TestDeadlines:
    async def test_a_refund_has_none(self) -> None:
        deadline = Deadline()
        await deadline.handle()
        assert (deadline.at, deadline.ends_transaction) == (None, False)

    async def test_the_end_of_the_chargeback_window_ends_a_payment(self) -> None:
        window = ChargebackWindow(payment())
        assert window.at is None
        state = succeeded_payment()
        window = ChargebackWindow(state)
        assert window.at == state.succeeded_at + timeouts.CHARGEBACK_WINDOW
        assert not window.ends_transaction
        state.reservations["ref1"] = Decimal(1)
        await window.handle()
        assert window.at is None
        assert not window.ends_transaction
        state.reservations.clear()
        assert window.ends_transaction

    def expiry(self, state: PreauthState) -> PreauthExpiry:
        context = context_of(state)
        void = PreauthVoid(context, state, asyncio.Lock())
        return PreauthExpiry(context, state, payment_lookup(context), void)

    async def test_a_preauth_is_released_an_hour_after_its_end_at_the_psp(
        self, runtime: WorkflowRuntime
    ) -> None:
        state = succeeded_preauth()
        expiry = self.expiry(state)
        assert expiry.at == EXPIRES
        held = answer(approved(authorized()))
        runtime.results["fetch_payment"] = [held, held]
        runtime.time = EXPIRES
        await expiry.handle()
        assert not state.ended
        assert expiry.at == EXPIRES + timeouts.EXPIRY_RETRY
        runtime.results["void"] = [answer(approved())]
        runtime.time = EXPIRES + timeouts.EXPIRY_GRACE
        await expiry.handle()
        assert state.status is Status.Expired
        assert expiry.at is None

    async def test_a_release_that_the_look_up_repeats_is_not_sent_twice_at_once(
        self, runtime: WorkflowRuntime
    ) -> None:
        state = succeeded_preauth()
        context = context_of(state)
        void = PreauthVoid(context, state, asyncio.Lock())
        expiry = PreauthExpiry(context, state, payment_lookup(context, void=void), void)
        held = answer(approved(authorized()))
        runtime.results["fetch_payment"] = [held, held]
        runtime.results["void"] = [answer(declined())]
        runtime.time = EXPIRES + timeouts.EXPIRY_GRACE
        state.begin_void(expiring=True)
        await expiry.handle()
        assert len(runtime.calls_of(activity_plans.VOID)) == 1
        assert expiry.at == runtime.time + timeouts.RELEASE_RETRY
        assert state.attention is not None
        runtime.results["void"] = [answer(approved())]
        runtime.time += timeouts.RELEASE_RETRY
        await expiry.handle()
        keys = [call.idempotency_key for call in runtime.calls_of(activity_plans.VOID)]
        assert keys == [f"{WORKFLOW_ID}/void/0", f"{WORKFLOW_ID}/void/1"]
        assert state.status is Status.Expired

    async def test_a_captured_preauth_is_not_released(self, runtime: WorkflowRuntime) -> None:
        state = succeeded_preauth()
        expiry = self.expiry(state)
        runtime.results["fetch_payment"] = [answer(approved(authorized()))]
        runtime.time = EXPIRES + timeouts.EXPIRY_GRACE
        state.captured_by = "p1"
        await expiry.handle()
        assert runtime.calls_of(activity_plans.VOID) == []
        assert expiry.at is None

    async def test_a_preauth_does_not_expire_while_the_psp_is_unavailable(
        self, runtime: WorkflowRuntime
    ) -> None:
        state = succeeded_preauth()
        expiry = self.expiry(state)
        runtime.results["fetch_payment"] = [activity_failure()]
        runtime.time = EXPIRES + timeouts.EXPIRY_GRACE
        await expiry.handle()
        assert state.status is Status.Succeeded
        assert expiry.at == runtime.time + timeouts.EXPIRY_RETRY


class TestSnapshotRecorder:
    async def record_all(
        self, runtime: WorkflowRuntime, context: TransactionContext, recorder: SnapshotRecorder
    ) -> bool:
        """Record the newest version; return whether that activated the agreement."""
        runtime.results["record"].append(RecordReply(True))
        await run_until(recorder.run(), lambda: not context.has_unrecorded_version)
        activated: bool = runtime.calls_of(activity_plans.RECORD)[-1].activate_agreement
        return activated

    def recorder(self, context: TransactionContext, *, activates: bool) -> SnapshotRecorder:
        metrics = StateMetrics(context.start, context.state, resumed=False)
        ui = TemporalUi(context)
        reservation = ReservationClient(context)
        return SnapshotRecorder(context, metrics, ui, reservation, activates_agreement=activates)

    @pytest.fixture(autouse=True)
    def no_metrics(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(StateMetrics, "observe", lambda self, state: None)

    async def test_the_first_record_of_a_preauths_success_activates_the_agreement(
        self, runtime: WorkflowRuntime
    ) -> None:
        context = context_of(preauth())
        recorder = self.recorder(context, activates=True)
        context.state.apply(pending(), evidence())
        assert not await self.record_all(runtime, context, recorder)
        context.state.apply(approved(authorized()), evidence())
        assert await self.record_all(runtime, context, recorder)
        context.state.flag_attention("Look at this.")
        assert not await self.record_all(runtime, context, recorder)

    async def test_a_preauth_that_had_succeeded_before_activates_nothing(
        self, runtime: WorkflowRuntime
    ) -> None:
        context = context_of(succeeded_preauth())
        recorder = self.recorder(context, activates=True)
        context.state.flag_attention("Look at this.")
        assert not await self.record_all(runtime, context, recorder)

    async def test_a_slow_store_gets_the_same_record_from_the_regular_activity(
        self, runtime: WorkflowRuntime
    ) -> None:
        context = context_of(payment())
        recorder = self.recorder(context, activates=False)
        context.state.apply(approved(paid()), evidence())
        runtime.results["record"].append(activity_failure())
        assert not await self.record_all(runtime, context, recorder)
        first, second = runtime.calls_of(activity_plans.RECORD)
        assert first == second


class TestChangeNotifier:
    def changed(self) -> TransactionContext:
        """Return a context whose change is to be announced and is recorded."""
        context = context_of(payment())
        context.apply(approved(paid()), EvidenceKind.ANSWER, "charge")
        context.recorded_version = context.state.version
        return context

    async def test_a_version_is_announced_once_it_is_recorded(
        self, runtime: WorkflowRuntime
    ) -> None:
        context = self.changed()
        context.recorded_version = 0
        runtime.results["deliver_webhook"] = [WebhookReply(delivered_at=NOW, attempt=1)]
        running = asyncio.create_task(ChangeNotifier(context, TemporalUi(context)).run())
        for _ in range(10):
            await asyncio.sleep(0)
        assert runtime.calls == []
        context.recorded_version = context.state.version
        await run_until(running, lambda: not context.has_unannounced_version)
        assert context.delivery.state is DeliveryState.IDLE
        assert context.delivery.delivered_at == NOW

    async def test_a_delivery_that_was_given_up_waits_for_redelivery(
        self, runtime: WorkflowRuntime
    ) -> None:
        context = self.changed()
        notifier = ChangeNotifier(context, TemporalUi(context))
        delivered = WebhookReply(delivered_at=NOW, attempt=1)
        runtime.results["deliver_webhook"] = [activity_failure(), delivered]
        running = asyncio.create_task(notifier.run())
        for _ in range(10):
            await asyncio.sleep(0)
        assert context.state.attention is not None
        assert context.delivery.last_error == "out of order"
        assert TemporalUi(context).webhook_state is WebhookState.UNDELIVERED
        notifier.redeliver()
        context.recorded_version = context.state.version
        await run_until(running, lambda: not context.has_unannounced_version)
        assert TemporalUi(context).webhook_state is WebhookState.DELIVERED


class TestTemporalUi:
    def with_attributes(
        self, runtime: WorkflowRuntime, state: AnyState
    ) -> tuple[TransactionContext, TemporalUi]:
        context = context_of(state)
        runtime.search_attributes = search_attributes.initial_attributes(context.start)
        return context, TemporalUi(context)

    def test_only_changed_attributes_are_upserted(self, runtime: WorkflowRuntime) -> None:
        context, ui = self.with_attributes(runtime, payment())
        ui.update_search_attributes()
        assert runtime.upserts == []
        context.apply(approved(paid()), EvidenceKind.ANSWER, "charge")
        ui.update_search_attributes()
        ui.update_search_attributes()
        (updates,) = runtime.upserts
        names = {update.key.name for update in updates}
        assert names == {"TransactionStatus", "PspTransactionId", "WebhookState"}

    def test_a_workflow_started_without_attributes_gets_none(
        self, runtime: WorkflowRuntime
    ) -> None:
        runtime.search_attributes = TypedSearchAttributes.empty
        context = context_of(payment())
        ui = TemporalUi(context)
        context.apply(approved(paid()), EvidenceKind.ANSWER, "charge")
        ui.update_search_attributes()
        assert runtime.upserts == []

    async def test_the_timeline_is_written_again_when_the_next_look_up_changes(
        self, runtime: WorkflowRuntime
    ) -> None:
        context, ui = self.with_attributes(runtime, PaymentState(**payment().model_dump()))
        running = asyncio.create_task(ui.run())
        for _ in range(10):
            await asyncio.sleep(0)
        assert len(runtime.details) == 1
        context.lookup_schedule.next_at = datetime(2026, 1, 16, tzinfo=UTC)
        await run_until(running, lambda: len(runtime.details) == 2)
