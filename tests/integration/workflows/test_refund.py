"""RefundWorkflow on a real server with virtual time."""

from datetime import timedelta
from decimal import Decimal

from temporalio.exceptions import ApplicationError

from integrator.contract.enums import PaymentErrorCode
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.types import Declined, FactKind, Pending
from tests.integration.workflows.conftest import (
    WorkflowHarness,
    approved,
    eventually,
    time_skipping_disabled,
)
from tests.replay.scenarios.refunds import refund_failure_learned_twice
from workflows import activity_plans
from workflows.messages import NotificationResult, PspFailure, PspReply
from workflows.state import EvidenceKind, TransactionKind

REFUND = TransactionKind.REFUND
DONE = approved("re_1", kind=FactKind.REFUNDED, psp_id="re_1")
PENDING = PspReply(outcome=Pending(psp_id="re_1"), evidence=EvidenceKind.ANSWER)


async def test_a_refund_names_its_payment_and_closes_its_reservation_with_the_response(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.REFUND.name] = [DONE.model_copy(update={"settled": True})]
    state = await harness.create(harness.refund())
    assert state.status is Status.Succeeded
    assert state.refunded == Decimal("10.00")
    assert await harness.handle(REFUND).result() == "Succeeded"
    assert harness.calls_of(activity_plans.REFUND)[0].owner_id == "p1"
    assert harness.reservation_results == []
    assert harness.webhooks == []


async def test_a_pending_refund_closes_its_reservation_when_it_succeeds(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.REFUND.name] = [PENDING]
    start = harness.refund()
    assert (await harness.create(start)).status is Status.Pending
    await harness.notify(start, NotificationResult(outcome=DONE.outcome, event_id="evt_1"))
    assert await harness.handle(REFUND).result() == "Succeeded"
    (call,) = harness.reservation_results
    assert (call.owner_kind, call.owner_id) == (TransactionKind.PAYMENT, "p1")
    assert call.settlement.booked
    assert call.settlement.refund is not None
    assert call.settlement.refund.amount == Decimal("10.00")
    assert len(harness.webhooks) == 1


async def test_a_refund_that_fails_later_releases_its_reservation(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.REFUND.name] = [PENDING]
    harness.answers[activity_plans.FETCH_REFUND.name] = [
        PspReply(outcome=Declined(code=PaymentErrorCode.Rejected), evidence=EvidenceKind.READ)
    ]
    await harness.create(harness.refund())
    await harness.advance_time(REFUND, timedelta(minutes=5))
    assert await harness.handle(REFUND).result() == "Failed"
    (call,) = harness.reservation_results
    assert not call.settlement.booked
    assert call.settlement.refund is None
    # A reader of the failure may request the same money at once.
    assert harness.order.index("reservation closed") < harness.order.index("recorded Failed")


async def test_a_returned_refund_is_reported_to_its_payment_again(harness: WorkflowHarness) -> None:
    harness.answers[activity_plans.REFUND.name] = [PENDING]
    start = harness.refund()
    state = await harness.create(start)
    await harness.notify(start, NotificationResult(outcome=DONE.outcome, event_id="evt_1"))
    await harness.handle(REFUND).result()
    returned = Declined(code=PaymentErrorCode.Rejected, psp_id="re_1")
    resumed = start.model_copy(update={"resume": state})
    await harness.notify(resumed, NotificationResult(outcome=returned, event_id="evt_2"))
    await eventually(lambda: len(harness.reservation_results) == 2)
    await harness.handle(REFUND).result()
    refund = harness.reservation_results[-1].settlement.refund
    assert refund is not None
    assert refund.amount == 0
    state = await harness.state(REFUND)
    assert (state.status, state.refunded) == (Status.Succeeded, Decimal(0))
    assert len(harness.webhooks) == 2


async def test_a_refused_reservation_is_a_failed_refund(harness: WorkflowHarness) -> None:
    refused = PspReply(
        outcome=Declined(code=PaymentErrorCode.InvalidAmount, message="Too much."),
        evidence=EvidenceKind.NOT_SENT,
        settled=True,
    )
    harness.answers[activity_plans.REFUND.name] = [refused]
    state = await harness.create(harness.refund())
    assert state.status is Status.Failed
    assert state.failure.code is PaymentErrorCode.InvalidAmount
    await eventually(lambda: harness.records)
    assert harness.reservation_results == []


async def test_a_failure_reported_between_two_attempts_cancels_the_next_one(
    harness: WorkflowHarness,
) -> None:
    """It would reserve again, and that reservation would never be released."""
    lost = ApplicationError("lost", 1, type=PspFailure.UNKNOWN)
    declined = Declined(code=PaymentErrorCode.Rejected)
    harness.answers[activity_plans.REFUND.name] = [lost]
    harness.answers[activity_plans.FETCH_REFUND.name] = [
        PspReply(outcome=declined, evidence=EvidenceKind.READ)
    ]
    start = harness.refund()
    with time_skipping_disabled(harness.env):
        await harness.client.ensure_started(start)
        await harness.client.caller_detached("m", REFUND, harness.transaction_id)
        await eventually(lambda: harness.calls_of(activity_plans.REFUND))
        await harness.notify(start, NotificationResult(outcome=declined, event_id="evt_1"))
        await eventually(lambda: harness.reservation_results)
        sent = len(harness.calls_of(activity_plans.REFUND))
    assert await harness.handle(REFUND).result() == "Failed"
    assert len(harness.calls_of(activity_plans.REFUND)) == sent
    assert len(harness.calls_of(activity_plans.FETCH_REFUND)) == 1
    (call,) = harness.reservation_results
    assert not call.settlement.booked


async def test_a_failure_learned_twice_at_once_is_reported_to_the_payment_once(
    harness: WorkflowHarness,
) -> None:
    await refund_failure_learned_twice(harness)
    assert len(harness.reservation_results) == 1
