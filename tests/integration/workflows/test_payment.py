"""PaymentWorkflow on a real server with virtual time."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from temporalio.exceptions import ApplicationError

from activities.webhooks import delivery_error
from integrator.contract.enums import PaymentErrorCode, PublicPaymentProviderRole
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.types import Approved, Declined, Fact, FactKind, Pending
from tests.integration.workflows.conftest import (
    WorkflowHarness,
    approved,
    eventually,
    time_skipping_disabled,
)
from workflows import activity_plans
from workflows.messages import (
    CALLER_DETACHED,
    DeliveryState,
    NotificationResult,
    PspFailure,
    PspReply,
    ReservationResult,
    ReserveReply,
    ReserveRequest,
)
from workflows.state import BookedRefund, EvidenceKind, PaymentState, TransactionKind

PAYMENT = TransactionKind.PAYMENT


def notification_of(
    outcome: Approved | Declined | Pending, event_id: str = "evt_1"
) -> NotificationResult:
    return NotificationResult(outcome=outcome, event_id=event_id)


def paid(id: str = "ch_1", amount: str = "10.00") -> Approved:
    reply = approved(id, amount=amount, psp_id="ch_1")
    assert isinstance(reply.outcome, Approved)
    return reply.outcome


PENDING = PspReply(outcome=Pending(psp_id="ch_1"), evidence=EvidenceKind.ANSWER)


async def test_a_captured_payment_costs_few_events_and_bytes(harness: WorkflowHarness) -> None:
    harness.answers[activity_plans.CAPTURE.name] = [
        approved("ch_1").model_copy(update={"settled": True})
    ]
    state = await harness.create(harness.payment(preauth_id="a1"))
    assert state.status is Status.Succeeded
    await eventually(lambda: harness.records)
    history = await harness.handle(PAYMENT).fetch_history()
    assert len(history.events) <= 16
    assert sum(event.ByteSize() for event in history.events) < 16 * 1024
    scheduled = [
        e for e in history.events if e.HasField("activity_task_scheduled_event_attributes")
    ]
    assert len(scheduled) == 1


async def test_the_outcome_returned_to_the_caller_is_not_announced(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.CHARGE.name] = [approved("ch_1")]
    await harness.create(harness.payment())
    await eventually(lambda: harness.records)
    assert (await harness.delivery(PAYMENT)).announced == 0
    assert harness.webhooks == []


async def test_a_repeat_joins_and_does_not_call_the_psp_again(harness: WorkflowHarness) -> None:
    harness.answers[activity_plans.CHARGE.name] = [approved("ch_1")]
    first = await harness.create(harness.payment())
    assert await harness.create(harness.payment()) == first
    assert len(harness.calls_of(activity_plans.CHARGE)) == 1


async def test_a_decline_ends_the_workflow_with_its_evidence(harness: WorkflowHarness) -> None:
    declined = Declined(
        code=PaymentErrorCode.InsufficientBalance, psp_code="insufficient_funds", message="no"
    )
    harness.answers[activity_plans.CHARGE.name] = [
        PspReply(outcome=declined, evidence=EvidenceKind.ANSWER)
    ]
    state = await harness.create(harness.payment())
    assert state.status is Status.Failed
    assert state.failure.code is PaymentErrorCode.InsufficientBalance
    assert state.evidence.kind is EvidenceKind.ANSWER
    assert await harness.handle(PAYMENT).result() == "Failed"
    assert harness.webhooks == []


async def test_a_debit_settles_after_five_days(harness: WorkflowHarness) -> None:
    harness.answers[activity_plans.CHARGE.name] = [PENDING]
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [
        PENDING.model_copy(update={"evidence": EvidenceKind.READ})
    ]
    start = harness.payment(role=PublicPaymentProviderRole.Debit, execute_on=date(2026, 1, 20))
    state = await harness.create(start)
    assert state.status is Status.Pending
    assert state.due_date == date(2026, 1, 20)

    await harness.advance_time(PAYMENT, timedelta(days=5))
    await harness.notify(start, notification_of(paid()))
    await eventually(lambda: harness.webhooks)

    state = await harness.state(PAYMENT)
    assert state.status is Status.Succeeded
    assert state.evidence.kind is EvidenceKind.NOTIFICATION
    assert len(harness.webhooks) == 1
    assert len(harness.calls_of(activity_plans.FETCH_PAYMENT)) >= 5


async def test_a_debit_whose_notification_is_lost_is_found_by_look_up(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.CHARGE.name] = [PENDING]
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [
        PENDING.model_copy(update={"evidence": EvidenceKind.READ}),
        approved("ch_1", evidence=EvidenceKind.READ),
    ]
    await harness.create(harness.payment())
    await harness.advance_time(PAYMENT, timedelta(hours=1))
    await eventually(lambda: harness.webhooks)
    state = await harness.state(PAYMENT)
    assert state.status is Status.Succeeded
    assert state.evidence.kind is EvidenceKind.READ


async def test_an_outage_of_the_psp_costs_few_events_and_its_end_is_noticed_at_once(
    harness: WorkflowHarness,
) -> None:
    """The recovery job asks the PSP itself and signals at the outage's end, hours before the
    schedule's next look-up."""
    down = ApplicationError("down", type=PspFailure.UNAVAILABLE, non_retryable=True)
    harness.answers[activity_plans.CHARGE.name] = [PENDING]
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [down]
    start = harness.payment()
    state = await harness.create(start)
    await harness.advance_time(PAYMENT, timedelta(hours=20))
    during = await harness.handle(PAYMENT).fetch_history()
    assert len(harness.calls_of(activity_plans.FETCH_PAYMENT)) <= 6
    assert len(during.events) < 100

    harness.answers[activity_plans.FETCH_PAYMENT.name] = [
        approved("ch_1", evidence=EvidenceKind.READ)
    ]
    with time_skipping_disabled(harness.env):
        await harness.client.look_up(start.model_copy(update={"resume": state}))
        await harness.wait_for_status(PAYMENT, Status.Succeeded)
    after = await harness.handle(PAYMENT).fetch_history()
    assert len(after.events) - len(during.events) < 30


async def test_a_chargeback_after_300_days_is_booked(harness: WorkflowHarness) -> None:
    harness.answers[activity_plans.CHARGE.name] = [approved("ch_1")]
    start = harness.payment()
    await harness.create(start)
    await harness.advance_time(PAYMENT, timedelta(days=300))
    chargeback = Fact(
        kind=FactKind.CHARGED_BACK, id="cb_1", amount=Decimal("10.00"), fee=Decimal("3.50")
    )
    outcome = paid().model_copy(update={"facts": (*paid().facts, chargeback)})
    await harness.notify(start, notification_of(outcome))
    await eventually(lambda: harness.webhooks)
    state = await harness.state(PAYMENT)
    assert state.status is Status.Succeeded
    assert state.refundable == 0
    assert [fact.id for fact in state.facts_of(FactKind.CHARGED_BACK)] == ["cb_1"]


async def test_it_ends_when_no_chargeback_can_come_any_more(harness: WorkflowHarness) -> None:
    harness.answers[activity_plans.CHARGE.name] = [approved("ch_1")]
    await harness.create(harness.payment())
    await harness.advance_time(PAYMENT, timedelta(days=401))
    assert await harness.handle(PAYMENT).result() == "Succeeded"


async def test_a_closed_payment_is_reopened_by_a_late_chargeback(harness: WorkflowHarness) -> None:
    harness.answers[activity_plans.CHARGE.name] = [approved("ch_1")]
    start = harness.payment()
    state = await harness.create(start)
    await harness.advance_time(PAYMENT, timedelta(days=401))
    await harness.handle(PAYMENT).result()

    chargeback = Fact(kind=FactKind.CHARGED_BACK, id="cb_1", amount=Decimal("10.00"))
    await harness.notify(
        start.model_copy(update={"resume": state}),
        notification_of(paid().model_copy(update={"facts": (chargeback,)})),
    )
    await eventually(lambda: harness.webhooks)
    reopened = await harness.state(PAYMENT)
    assert [fact.id for fact in reopened.facts_of(FactKind.CHARGED_BACK)] == ["cb_1"]
    assert reopened.version > state.version


async def test_a_payment_is_not_restarted_from_a_stale_state(
    harness: WorkflowHarness,
) -> None:
    declined = Declined(code=PaymentErrorCode.Rejected)
    harness.answers[activity_plans.CHARGE.name] = [
        PspReply(outcome=declined, evidence=EvidenceKind.ANSWER)
    ]
    start = harness.payment()
    state = await harness.create(start)
    assert await harness.handle(PAYMENT).result() == "Failed"
    unanswered = state.model_copy(update={"answered": False, "status": Status.Initiated})
    stale = start.model_copy(update={"resume": unanswered})
    await harness.notify(stale, notification_of(declined))
    assert await harness.handle(PAYMENT).result() == "Failed"
    assert (await harness.state(PAYMENT)) == state
    assert len(harness.calls_of(activity_plans.CHARGE)) == 1
    assert harness.webhooks == []


async def test_a_detached_caller_is_notified_by_webhook(harness: WorkflowHarness) -> None:
    harness.answers[activity_plans.CHARGE.name] = [
        ApplicationError("down", type=PspFailure.UNAVAILABLE),
        approved("ch_1"),
    ]
    start = harness.payment()
    with harness.env.with_time_skipping_disabled():
        await harness.env.client.start_workflow(
            "PaymentWorkflow",
            start,
            id=harness.handle(PAYMENT).id,
            task_queue=harness.queue,
        )
    await harness.client.caller_detached("m", PAYMENT, harness.transaction_id)
    await eventually(lambda: harness.webhooks)
    assert (await harness.state(PAYMENT)).status is Status.Succeeded
    statuses = [record.snapshot for record in harness.records]
    assert '"Pending"' in statuses[0]


async def test_a_create_that_starts_after_its_caller_detached_is_announced(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.CHARGE.name] = [
        ApplicationError("down", type=PspFailure.UNAVAILABLE),
        approved("ch_1"),
    ]
    start = harness.payment()
    with harness.env.with_time_skipping_disabled():
        await harness.env.client.start_workflow(
            "PaymentWorkflow",
            start,
            id=harness.handle(PAYMENT).id,
            task_queue=harness.queue,
            start_signal=CALLER_DETACHED,
        )
    assert (await harness.create(start)).status is Status.Succeeded
    await eventually(lambda: harness.webhooks)


async def test_without_create_the_psp_is_asked_before_the_payment_fails(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [
        PspReply(outcome=None, evidence=EvidenceKind.READ, absence_proven=True)
    ]
    with harness.env.with_time_skipping_disabled():
        handle = await harness.env.client.start_workflow(
            "PaymentWorkflow",
            harness.payment(),
            id=harness.handle(PAYMENT).id,
            task_queue=harness.queue,
        )
    await harness.advance_time(PAYMENT, timedelta(hours=2))
    assert await handle.result() == "Failed"
    assert harness.calls_of(activity_plans.CHARGE) == []
    assert len(harness.calls_of(activity_plans.FETCH_PAYMENT)) == 1
    assert len(harness.webhooks) >= 1


async def test_without_create_a_payment_that_may_have_been_sent_is_sent_with_its_key(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [
        PspReply(outcome=None, evidence=EvidenceKind.READ)
    ]
    harness.answers[activity_plans.CHARGE.name] = [approved("ch_1")]
    with harness.env.with_time_skipping_disabled():
        await harness.client.ensure_started(harness.payment())
    await harness.advance_time(PAYMENT, timedelta(hours=2))
    assert (await harness.state(PAYMENT)).status is Status.Succeeded
    assert len(harness.calls_of(activity_plans.CHARGE)) == 1
    assert len(harness.webhooks) >= 1


async def test_an_unknown_outcome_is_looked_up_and_proven_absent(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.CHARGE.name] = [
        ApplicationError("lost", type=PspFailure.UNKNOWN)
    ]
    absent = PspReply(outcome=None, evidence=EvidenceKind.READ, absence_proven=True)
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [
        ApplicationError("down", type=PspFailure.UNAVAILABLE, non_retryable=True),
        absent,
    ]
    with harness.env.with_time_skipping_disabled():
        await harness.env.client.start_workflow(
            "PaymentWorkflow",
            harness.payment(key_window_seconds=3600),
            id=harness.handle(PAYMENT).id,
            task_queue=harness.queue,
        )
    await harness.client.caller_detached("m", PAYMENT, harness.transaction_id)
    await eventually(lambda: harness.calls_of(activity_plans.CHARGE))
    assert (await harness.state(PAYMENT)).status is Status.Pending

    await harness.advance_time(PAYMENT, timedelta(hours=2))
    assert await harness.handle(PAYMENT).result() == "Failed"
    keys = {call.idempotency_key for call in harness.calls_of(activity_plans.CHARGE)}
    assert len(keys) == 1
    assert len(harness.webhooks) == 1


async def test_refunds_reserve_and_are_booked_once(harness: WorkflowHarness) -> None:
    harness.answers[activity_plans.CHARGE.name] = [approved("ch_1")]
    start = harness.payment()
    state = await harness.create(start)
    resumed = start.model_copy(update={"resume": state})

    async def reserve(by: str, amount: str) -> PaymentErrorCode | None:
        request = ReserveRequest(by=by, amount=Decimal(amount), currency="EUR")
        reply = await harness.client.reserve(resumed, request)
        return reply.refusal.code if reply.refusal else None

    assert await reserve("r1", "6.00") is None
    assert await reserve("r2", "6.00") is PaymentErrorCode.InvalidAmount
    assert await reserve("r1", "6.00") is None
    booked = BookedRefund(amount=Decimal("6.00"), psp_id="re_1", booked_on=date(2026, 1, 16))
    for _ in range(2):
        await harness.client.close_reservation(
            resumed, ReservationResult(by="r1", booked=True, refund=booked)
        )
    assert await reserve("r3", "4.00") is None
    await harness.client.close_reservation(resumed, ReservationResult(by="r3", booked=False))
    assert await reserve("r4", "4.01") is PaymentErrorCode.InvalidAmount
    state = await harness.state(PAYMENT)
    assert state.refunded == Decimal("6.00")
    assert state.refundable == Decimal("4.00")


async def test_an_attempt_that_arrives_after_a_later_one_ended_reserves_nothing(
    harness: WorkflowHarness,
) -> None:
    """It was given up while its message was on the way; its reservation would never be released."""
    harness.answers[activity_plans.CHARGE.name] = [approved("ch_1")]
    start = harness.payment()
    resumed = start.model_copy(update={"resume": await harness.create(start)})
    first, second = (datetime(2026, 1, 16, hour, tzinfo=UTC) for hour in (10, 11))

    async def reserve(at: datetime) -> ReserveReply:
        request = ReserveRequest(by="r1", amount=Decimal("6.00"), currency="EUR", at=at)
        return await harness.client.reserve(resumed, request)

    async def release(at: datetime) -> None:
        await harness.client.close_reservation(
            resumed, ReservationResult(by="r1", booked=False, at=at)
        )

    assert not (await reserve(second)).superseded
    assert (await reserve(first)).superseded
    await release(first)
    assert (await harness.state(PAYMENT)).available == Decimal("4.00")
    assert not (await reserve(second)).superseded
    await release(second)
    for late in (first, second):
        assert (await reserve(late)).superseded
    state = await harness.state(PAYMENT)
    assert (state.reservations, state.available) == ({}, Decimal("10.00"))


async def test_login_error_needs_two_rejections_of_the_credentials(
    harness: WorkflowHarness,
) -> None:
    refused = ApplicationError("401", 1, type=PspFailure.CREDENTIALS, non_retryable=True)
    harness.answers[activity_plans.CHARGE.name] = [refused]
    harness.credentials_accepted = False
    with harness.env.with_time_skipping_disabled():
        await harness.env.client.start_workflow(
            "PaymentWorkflow",
            harness.payment(),
            id=harness.handle(PAYMENT).id,
            task_queue=harness.queue,
        )
    await harness.client.caller_detached("m", PAYMENT, harness.transaction_id)
    await eventually(lambda: harness.calls_of(activity_plans.CHECK_CREDENTIALS))
    assert (await harness.state(PAYMENT)).status is Status.Pending
    await harness.advance_time(PAYMENT, timedelta(minutes=2))
    await harness.handle(PAYMENT).result()
    assert len(harness.calls_of(activity_plans.CHARGE)) == 2
    assert len(harness.calls_of(activity_plans.CHECK_CREDENTIALS)) == 2


async def test_a_failed_capture_releases_the_preauth(harness: WorkflowHarness) -> None:
    harness.answers[activity_plans.CAPTURE.name] = [PENDING]
    start = harness.payment(preauth_id="a1")
    await harness.create(start)
    await harness.notify(start, notification_of(Declined(code=PaymentErrorCode.Rejected)))
    assert await harness.handle(PAYMENT).result() == "Failed"
    (call,) = harness.reservation_results
    assert (call.owner_kind, call.owner_id) == (TransactionKind.PREAUTH, "a1")
    assert (call.settlement.by, call.settlement.booked) == (harness.transaction_id, False)


async def test_an_unavailable_webhook_target_is_retried_for_76_hours_and_can_be_redelivered(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.CHARGE.name] = [PENDING]
    attempts: list[int] = []

    def dead(attempt: int) -> ApplicationError | None:
        attempts.append(attempt)
        return delivery_error("The target answered 500.", attempt)

    harness.webhook_error = dead
    start = harness.payment()
    await harness.create(start)
    await harness.notify(start, notification_of(paid()))
    await eventually(lambda: attempts)
    delivery = await harness.delivery(PAYMENT)
    assert delivery.state is DeliveryState.DELIVERING

    await harness.advance_time(PAYMENT, timedelta(hours=76))
    delivery = await harness.delivery(PAYMENT)
    assert delivery.state is DeliveryState.DELIVERING
    assert len(attempts) > 20
    await harness.advance_time(PAYMENT, timedelta(hours=9))
    delivery = await harness.delivery(PAYMENT)
    assert delivery.state is DeliveryState.UNDELIVERED
    assert delivery.last_error == "The target answered 500."

    harness.webhook_error = lambda attempt: None
    await harness.handle(PAYMENT).signal("redeliver")
    await eventually(lambda: harness.webhooks)
    await wait_for_idle_delivery(harness)


async def wait_for_idle_delivery(harness: WorkflowHarness) -> None:
    for _ in range(100):
        if (await harness.delivery(PAYMENT)).state is DeliveryState.IDLE:
            return
    raise AssertionError("the delivery did not become idle in time")


async def wait_for_attempt(harness: WorkflowHarness, number: int) -> None:
    """Wait for an attempt; time may be skipped only once the one before has failed."""
    for _ in range(200):
        pending = (await harness.handle(PAYMENT).describe()).raw_description.pending_activities
        if any(activity.attempt == number for activity in pending):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"attempt {number} was not scheduled in time")


async def test_changes_during_a_delivery_are_folded_into_one_more(harness: WorkflowHarness) -> None:
    harness.answers[activity_plans.CHARGE.name] = [PENDING]
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [PENDING]
    refusals = [
        ApplicationError("busy", type="WebhookNotDelivered", next_retry_delay=timedelta(minutes=1))
    ]
    harness.webhook_error = lambda attempt: refusals.pop() if refusals else None
    start = harness.payment(requested_amount=Decimal("30.00"))
    await harness.create(start)
    await harness.notify(start, notification_of(paid("ch_1"), "evt_1"))
    await wait_for_attempt(harness, 2)
    await harness.notify(start, notification_of(paid("ch_2"), "evt_2"))
    await harness.notify(start, notification_of(paid("ch_3"), "evt_3"))
    await eventually(lambda: len(harness.records) == 4)
    await harness.advance_time(PAYMENT, timedelta(minutes=5))
    await eventually(lambda: len(harness.webhooks) == 2)
    await wait_for_idle_delivery(harness)
    assert len(harness.webhooks) == 2
    assert (await harness.state(PAYMENT)).status is Status.Succeeded


async def test_notifications_do_not_wait_for_an_unavailable_psp(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.CHARGE.name] = [PENDING]
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [
        ApplicationError(
            "unavailable", type=PspFailure.UNAVAILABLE, next_retry_delay=timedelta(seconds=9)
        )
    ]
    start = harness.payment()
    await harness.create(start)
    await harness.advance_time(PAYMENT, timedelta(seconds=61))
    await eventually(lambda: harness.calls_of(activity_plans.FETCH_PAYMENT))
    await harness.notify(start, notification_of(paid()))
    await eventually(lambda: harness.webhooks, seconds=5)


async def test_a_cancellation_from_the_temporal_ui_does_not_lose_the_money(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.CHARGE.name] = [PENDING]
    start = harness.payment()
    await harness.create(start)
    await harness.handle(PAYMENT).cancel()
    await harness.notify(start, notification_of(paid()))
    await eventually(lambda: harness.webhooks)
    state = await harness.state(PAYMENT)
    assert state.status is Status.Succeeded
    assert state.attention == "A cancellation of the workflow was requested and ignored."


async def test_a_notification_that_cannot_be_read_causes_a_look_up(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.CHARGE.name] = [PENDING]
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [
        approved("ch_1", evidence=EvidenceKind.READ)
    ]
    start = harness.payment()
    await harness.create(start)
    harness.notification_error = ApplicationError("No such notification.", non_retryable=True)
    await harness.notify(start, notification_of(paid()))
    await eventually(lambda: harness.webhooks)
    assert (await harness.state(PAYMENT)).evidence.kind is EvidenceKind.READ


async def test_an_unavailable_store_delays_the_record_and_loses_nothing(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.CHARGE.name] = [approved("ch_1")]
    harness.store_errors = [ApplicationError("store unavailable") for _ in range(6)]
    state = await harness.create(harness.payment())
    await eventually(lambda: harness.records, seconds=20)
    assert PaymentState.model_validate_json(harness.records[0].snapshot) == state
    assert await harness.state(PAYMENT) == state


async def test_a_look_up_requested_by_a_notification_is_repeated_until_the_psp_answers(
    harness: WorkflowHarness,
) -> None:
    chargeback = Fact(kind=FactKind.CHARGED_BACK, id="cb_1", amount=Decimal("10.00"))
    charged_back = PspReply(
        outcome=paid().model_copy(update={"facts": (*paid().facts, chargeback)}),
        evidence=EvidenceKind.READ,
    )
    harness.answers[activity_plans.CHARGE.name] = [approved("ch_1")]
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [
        ApplicationError("unavailable", type=PspFailure.UNAVAILABLE, non_retryable=True),
        charged_back,
    ]
    start = harness.payment()
    await harness.create(start)
    await harness.notify(start, NotificationResult(outcome=None, event_id="evt_1", fetch=True))
    await eventually(lambda: harness.calls_of(activity_plans.FETCH_PAYMENT))
    await harness.advance_time(PAYMENT, timedelta(hours=1))
    await eventually(lambda: harness.webhooks)
    assert (await harness.state(PAYMENT)).refundable == 0


async def test_four_hundred_days_with_refunds_and_chargebacks_stay_small(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.CHARGE.name] = [approved("ch_1", amount="120.00")]
    start = harness.payment(requested_amount=Decimal("120.00"))
    state = await harness.create(start)
    resumed = start.model_copy(update={"resume": state})
    for number in range(12):
        by = f"r{number}"
        await harness.advance_time(PAYMENT, timedelta(days=25))
        request = ReserveRequest(by=by, amount=Decimal("5.00"), currency="EUR")
        assert (await harness.client.reserve(resumed, request)).refusal is None
        refund = BookedRefund(amount=Decimal("5.00"), psp_id=by, booked_on=date(2026, 1, 16))
        await harness.client.close_reservation(
            resumed, ReservationResult(by=by, booked=True, refund=refund)
        )
    chargebacks = [
        Fact(kind=FactKind.CHARGED_BACK, id=f"cb_{number}", amount=Decimal("5.00"))
        for number in range(3)
    ]
    for number, chargeback in enumerate(chargebacks):
        await harness.advance_time(PAYMENT, timedelta(days=25))
        outcome = Approved(psp_id="ch_1", facts=(chargeback,))
        await harness.notify(start, notification_of(outcome, f"evt_{number}"))
        await eventually(lambda: len(harness.webhooks) > number)  # noqa: B023 - awaited here
    state = await harness.state(PAYMENT)
    assert state.refundable == Decimal("45.00")
    await harness.advance_time(PAYMENT, timedelta(days=26))
    assert await harness.handle(PAYMENT).result() == "Succeeded"
    history = await harness.handle(PAYMENT).fetch_history()
    assert len(history.events) <= 300
    assert sum(event.ByteSize() for event in history.events) <= 256 * 1024


async def test_a_debit_that_stays_open_for_weeks_asks_for_attention(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.CHARGE.name] = [PENDING]
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [PENDING]
    await harness.create(harness.payment())
    await harness.advance_time(PAYMENT, timedelta(days=13))
    assert (await harness.state(PAYMENT)).attention is None
    await harness.advance_time(PAYMENT, timedelta(days=3))
    state = await harness.state(PAYMENT)
    assert state.status is Status.Pending
    assert state.attention is not None


async def test_a_worker_without_a_cache_reaches_the_same_end(
    uncached_harness: WorkflowHarness,
) -> None:
    harness = uncached_harness
    harness.answers[activity_plans.CHARGE.name] = [PENDING]
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [PENDING]
    start = harness.payment()
    state = await harness.create(start)
    await harness.advance_time(PAYMENT, timedelta(days=2))
    await harness.handle(PAYMENT).cancel()
    await harness.notify(start, notification_of(paid()))
    await eventually(lambda: harness.webhooks)
    resumed = start.model_copy(update={"resume": state})
    request = ReserveRequest(by="r1", amount=Decimal("4.00"), currency="EUR")
    assert (await harness.client.reserve(resumed, request)).refusal is None
    await harness.client.close_reservation(resumed, ReservationResult(by="r1", booked=False))
    await harness.advance_time(PAYMENT, timedelta(days=401))
    assert await harness.handle(PAYMENT).result() == "Succeeded"


async def test_a_payment_reopened_without_an_outcome_is_looked_up_and_not_sent_again(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.CHARGE.name] = [
        ApplicationError("lost", type=PspFailure.UNKNOWN)
    ]
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [
        approved("ch_1", evidence=EvidenceKind.READ)
    ]
    start = harness.payment()
    with harness.env.with_time_skipping_disabled():
        handle = await harness.env.client.start_workflow(
            "PaymentWorkflow", start, id=harness.handle(PAYMENT).id, task_queue=harness.queue
        )
    await harness.client.caller_detached("m", PAYMENT, harness.transaction_id)
    await eventually(lambda: harness.calls_of(activity_plans.CHARGE) and harness.records)
    await handle.terminate("by an operator")
    sent = len(harness.calls_of(activity_plans.CHARGE))

    state = PaymentState.model_validate_json(harness.records[-1].snapshot)
    with harness.env.with_time_skipping_disabled():
        await harness.client.redeliver(start.model_copy(update={"resume": state}))
    await harness.advance_time(PAYMENT, timedelta(minutes=2))
    await eventually(lambda: harness.webhooks)
    assert (await harness.state(PAYMENT)).status is Status.Succeeded
    assert len(harness.calls_of(activity_plans.CHARGE)) == sent


async def test_a_rejection_after_an_attempt_without_an_answer_is_repeated_with_the_key(
    harness: WorkflowHarness,
) -> None:
    """A merchant rotates its key between two attempts."""
    rejected = ApplicationError("401", False, type=PspFailure.CREDENTIALS, non_retryable=True)
    harness.answers[activity_plans.CHARGE.name] = [rejected, rejected, approved("ch_1")]
    harness.credentials_accepted = False
    start = harness.payment()
    with time_skipping_disabled(harness.env):
        await harness.client.ensure_started(start)
        await harness.client.caller_detached("m", PAYMENT, harness.transaction_id)
    await harness.advance_time(PAYMENT, timedelta(minutes=5))
    state = await harness.state(PAYMENT)
    assert (state.status, state.failure) == (Status.Succeeded, None)
    calls = harness.calls_of(activity_plans.CHARGE)
    assert len({call.idempotency_key for call in calls}) == 1
    assert len(calls) == 3


async def test_what_may_have_been_sent_is_looked_up_once_the_psp_has_forgotten_the_key(
    harness: WorkflowHarness,
) -> None:
    expired = ApplicationError("forgotten", False, type=PspFailure.KEY_EXPIRED, non_retryable=True)
    harness.answers[activity_plans.CHARGE.name] = [expired]
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [approved("ch_1")]
    state = await harness.create(harness.payment())
    assert (state.status, state.failure) == (Status.Pending, None)
    await harness.advance_time(PAYMENT, timedelta(minutes=5))
    assert (await harness.state(PAYMENT)).status is Status.Succeeded
    assert len(harness.calls_of(activity_plans.CHARGE)) == 1


async def test_nothing_is_sent_twice_to_a_psp_without_idempotency(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.CHARGE.name] = [
        ApplicationError("lost", 1, type=PspFailure.UNKNOWN)
    ]
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [
        PspReply(outcome=None, evidence=EvidenceKind.READ)
    ]
    start = harness.payment(key_window_seconds=0)
    assert (await harness.create(start)).status is Status.Pending
    await harness.advance_time(PAYMENT, timedelta(days=20))
    state = await harness.state(PAYMENT)
    assert (state.status, len(harness.calls_of(activity_plans.CHARGE))) == (Status.Pending, 1)
    assert len(harness.calls_of(activity_plans.FETCH_PAYMENT)) > 5
    assert "has not decided for a long time" in state.attention
    await harness.notify(start, notification_of(paid()))
    await eventually(lambda: len(harness.webhooks) == 1)
    assert (await harness.state(PAYMENT)).status is Status.Succeeded


async def test_a_call_that_was_not_sent_is_repeated_without_idempotency(
    harness: WorkflowHarness,
) -> None:
    unavailable = ApplicationError("unavailable", 1, type=PspFailure.UNAVAILABLE)
    harness.answers[activity_plans.CHARGE.name] = [unavailable, unavailable, approved("ch_1")]
    start = harness.payment(key_window_seconds=0)
    with time_skipping_disabled(harness.env):
        await harness.client.ensure_started(start)
        await harness.client.caller_detached("m", PAYMENT, harness.transaction_id)
        await eventually(lambda: harness.calls_of(activity_plans.CHARGE))
    await harness.advance_time(PAYMENT, timedelta(hours=1))
    assert (await harness.state(PAYMENT)).status is Status.Succeeded
    assert len(harness.calls_of(activity_plans.CHARGE)) == 3
