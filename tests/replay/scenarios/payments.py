"""Payments: charged, captured, declined, settled late, refunded, charged back."""

from datetime import date, timedelta
from decimal import Decimal

from integrator.contract.enums import PaymentErrorCode, PublicPaymentProviderRole
from integrator.psp.types import Approved, Declined, Fact, FactKind, Succession
from tests.integration.workflows.conftest import WorkflowHarness, approved, eventually
from tests.replay.scenarios.builders import (
    HOUR,
    NOON,
    PENDING,
    REJECTED,
    Handle,
    external_movement,
    notification,
    reserve_request,
    start_workflow,
    with_facts,
)
from workflows import activity_plans
from workflows.messages import (
    NOTIFY,
    NotificationSignal,
    PspReply,
    ReservationResult,
    ReserveRequest,
)
from workflows.state import BookedRefund, EvidenceKind, TransactionKind


async def payment_captured_open(harness: WorkflowHarness) -> Handle:
    harness.answers[activity_plans.CAPTURE.name] = [
        approved("ch_1").model_copy(update={"settled": True})
    ]
    await harness.create(harness.payment(preauth_id="a1"))
    return harness.handle(TransactionKind.PAYMENT)


async def payment_captured_closed(harness: WorkflowHarness) -> Handle:
    await payment_captured_open(harness)
    await harness.advance_time(TransactionKind.PAYMENT, timedelta(days=401))
    await harness.handle(TransactionKind.PAYMENT).result()
    return harness.handle(TransactionKind.PAYMENT)


async def payment_declined(harness: WorkflowHarness) -> Handle:
    declined = Declined(code=PaymentErrorCode.InsufficientBalance, message="no")
    harness.answers[activity_plans.CHARGE.name] = [
        PspReply(outcome=declined, evidence=EvidenceKind.ANSWER)
    ]
    await harness.create(harness.payment())
    await harness.handle(TransactionKind.PAYMENT).result()
    return harness.handle(TransactionKind.PAYMENT)


async def payment_chargeback_reinstated(harness: WorkflowHarness) -> Handle:
    """Charged back, then reported as returned beside a fact in doubt; the mandate was replaced."""
    harness.answers[activity_plans.CHARGE.name] = [approved("ch_1")]
    chargeback = Fact(kind=FactKind.CHARGED_BACK, id="cb_1", amount=Decimal("10.00"))
    reversal = Fact(
        kind=FactKind.CHARGEBACK_REVERSED, id="rev_1", amount=Decimal("10.00"), reverses="cb_1"
    )
    succession = Succession(former_id="md_1", new_id="md_2")
    outcome = Approved(psp_id="ch_1", facts=(chargeback, reversal), succession=succession)
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [
        PspReply(
            outcome=outcome,
            evidence=EvidenceKind.READ,
            doubts=("Not booked: a chargeback in USD.",),
        )
    ]
    start = harness.payment()
    await harness.create_recorded(start)
    # The return is reported before its chargeback, so the PSP is asked for the rest.
    await harness.notify(
        start, notification(with_facts(reversal)).model_copy(update={"fetch": True})
    )
    await eventually(lambda: harness.webhooks)
    await eventually(lambda: "md_2" in harness.records[-1].snapshot)
    return harness.handle(TransactionKind.PAYMENT)


async def payment_debit_refunded_charged_back(harness: WorkflowHarness) -> Handle:
    """Pending for days, looked up, settled by notification, refunded in part, charged back."""
    harness.answers[activity_plans.CHARGE.name] = [PENDING]
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [
        PENDING.model_copy(update={"evidence": EvidenceKind.READ})
    ]
    role = PublicPaymentProviderRole.Debit
    start = harness.payment(role=role, execute_on=date(2026, 1, 20))
    state = await harness.create(start)
    await harness.advance_time(TransactionKind.PAYMENT, timedelta(days=2))
    await harness.notify(start, notification(approved("ch_1")))
    await eventually(lambda: harness.webhooks)
    resumed = start.model_copy(update={"resume": state})
    for by, booked in (("r1", True), ("r2", False)):
        request = ReserveRequest(by=by, amount=Decimal("4.00"), currency="EUR")
        await harness.client.reserve(resumed, request)
        refund = BookedRefund(amount=Decimal("4.00"), psp_id="re_1", booked_on=date(2026, 1, 21))
        settlement = ReservationResult(by=by, booked=booked, refund=refund if booked else None)
        await harness.client.close_reservation(resumed, settlement)
    chargeback = Fact(kind=FactKind.CHARGED_BACK, id="cb_1", amount=Decimal("6.00"))
    await harness.notify(start, notification(with_facts(chargeback)))
    await eventually(lambda: len(harness.webhooks) >= 2)
    return harness.handle(TransactionKind.PAYMENT)


async def payment_refunded_elsewhere(harness: WorkflowHarness) -> Handle:
    """Reconciliation requests a look-up and reports a refund made in the PSP's dashboard."""
    harness.answers[activity_plans.CHARGE.name] = [approved("ch_1")]
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [
        approved("ch_1", evidence=EvidenceKind.READ)
    ]
    start = harness.payment()
    await harness.create(start)
    await harness.client.look_up(start)
    await eventually(lambda: harness.calls_of(activity_plans.FETCH_PAYMENT))
    await harness.client.record_external_movement(start, external_movement("re_9", "4.00"))
    await eventually(lambda: harness.webhooks)
    return harness.handle(TransactionKind.PAYMENT)


async def payment_refunds_in_any_order(harness: WorkflowHarness) -> Handle:
    """Refunds reserve too early, reserve after their end, and release after a later attempt."""
    harness.answers[activity_plans.CHARGE.name] = [PENDING]
    start = harness.payment()
    resumed = start.model_copy(update={"resume": await harness.create(start)})
    await harness.client.reserve(resumed, reserve_request("r1", "4.00", NOON))
    await harness.notify(start, notification(approved("ch_1")))
    await eventually(lambda: harness.webhooks)
    await harness.client.reserve(resumed, reserve_request("r1", "4.00", NOON + HOUR))
    await harness.client.close_reservation(
        resumed, ReservationResult(by="r1", booked=False, at=NOON)
    )
    await harness.client.close_reservation(
        resumed, ReservationResult(by="r1", booked=False, at=NOON + HOUR)
    )
    await harness.client.reserve(resumed, reserve_request("r1", "4.00", NOON + HOUR))
    return harness.handle(TransactionKind.PAYMENT)


async def payment_indexed(harness: WorkflowHarness) -> Handle:
    """The search attributes change with the state, and only if their values change."""
    harness.answers[activity_plans.CHARGE.name] = [PENDING]
    start = harness.payment(agreement_id="a1")
    resumed = start.model_copy(update={"resume": await harness.create(start)})
    await harness.notify(start, notification(approved("ch_1")))
    await eventually(lambda: harness.webhooks)
    await harness.client.reserve(resumed, reserve_request("r1", "4.00"))
    await eventually(lambda: "r1" in harness.records[-1].snapshot)
    return harness.handle(TransactionKind.PAYMENT)


async def payment_capture_failed_later(harness: WorkflowHarness) -> Handle:
    """Accepted, then declined: the reservation is released before the failure is visible."""
    harness.answers[activity_plans.CAPTURE.name] = [PENDING]
    start = harness.payment(preauth_id="a1")
    await harness.create(start)
    await harness.notify(start, notification(REJECTED))
    await harness.handle(TransactionKind.PAYMENT).result()
    return harness.handle(TransactionKind.PAYMENT)


async def payment_reopened_by_chargeback(harness: WorkflowHarness) -> Handle:
    """Charged back after the workflow's end; it resumes from the stored snapshot."""
    harness.answers[activity_plans.CHARGE.name] = [approved("ch_1")]
    state = await harness.create(harness.payment())
    await harness.advance_time(TransactionKind.PAYMENT, timedelta(days=401))
    await harness.handle(TransactionKind.PAYMENT).result()
    chargeback = Fact(kind=FactKind.CHARGED_BACK, id="cb_1", amount=Decimal("10.00"))
    harness.notifications[1] = notification(with_facts(chargeback))
    handle = await start_workflow(
        harness,
        harness.payment(resume=state),
        start_signal=NOTIFY,
        start_signal_args=[NotificationSignal(notification_id=1)],
    )
    await eventually(lambda: harness.webhooks)
    return handle


SCENARIOS = (
    payment_chargeback_reinstated,
    payment_captured_open,
    payment_captured_closed,
    payment_declined,
    payment_debit_refunded_charged_back,
    payment_refunded_elsewhere,
    payment_refunds_in_any_order,
    payment_indexed,
    payment_capture_failed_later,
    payment_reopened_by_chargeback,
)
