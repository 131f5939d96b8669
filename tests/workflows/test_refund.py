"""RefundWorkflow on a real server with virtual time."""

from datetime import timedelta
from decimal import Decimal

from temporalio.exceptions import ApplicationError

from integrator.contract.enums import PaymentErrorCode
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.types import Declined, FactKind, Pending
from tests.replay.scenarios.refunds import refund_failure_learned_twice
from tests.workflows.conftest import World, approved, eventually, standing_still
from workflows import activity_plans
from workflows.messages import NotificationResult, PspFailure, PspReply
from workflows.state import EvidenceKind, TransactionKind

REFUND = TransactionKind.REFUND
DONE = approved("re_1", kind=FactKind.REFUNDED, psp_id="re_1")
PENDING = PspReply(outcome=Pending(psp_id="re_1"), evidence=EvidenceKind.ANSWER)


async def test_a_refund_names_its_payment_and_settles_with_the_answer(world: World) -> None:
    world.answers[activity_plans.REFUND.name] = [DONE.model_copy(update={"settled": True})]
    state = await world.create(world.refund())
    assert state.status is Status.Succeeded
    assert state.refunded == Decimal("10.00")
    assert await world.handle(REFUND).result() == "Succeeded"
    assert world.called(activity_plans.REFUND)[0].owner_id == "p1"
    assert world.settlements == []
    assert world.webhooks == []


async def test_a_pending_refund_settles_with_its_payment_when_it_is_known(world: World) -> None:
    world.answers[activity_plans.REFUND.name] = [PENDING]
    start = world.refund()
    assert (await world.create(start)).status is Status.Pending
    await world.notify(start, NotificationResult(outcome=DONE.outcome, event_id="evt_1"))
    assert await world.handle(REFUND).result() == "Succeeded"
    (call,) = world.settlements
    assert (call.owner_kind, call.owner_id) == (TransactionKind.PAYMENT, "p1")
    assert call.settlement.booked
    assert call.settlement.refund is not None
    assert call.settlement.refund.amount == Decimal("10.00")
    assert len(world.webhooks) == 1


async def test_a_refund_that_fails_later_gives_its_reservation_back(world: World) -> None:
    world.answers[activity_plans.REFUND.name] = [PENDING]
    world.answers[activity_plans.FETCH_REFUND.name] = [
        PspReply(outcome=Declined(code=PaymentErrorCode.Rejected), evidence=EvidenceKind.READ)
    ]
    await world.create(world.refund())
    await world.later(REFUND, timedelta(minutes=5))
    assert await world.handle(REFUND).result() == "Failed"
    (call,) = world.settlements
    assert not call.settlement.booked
    assert call.settlement.refund is None
    # Who hears of the failure may ask for the same money at once.
    assert world.order.index("settled") < world.order.index("recorded Failed")


async def test_a_refund_that_came_back_is_settled_once_more(world: World) -> None:
    world.answers[activity_plans.REFUND.name] = [PENDING]
    start = world.refund()
    state = await world.create(start)
    await world.notify(start, NotificationResult(outcome=DONE.outcome, event_id="evt_1"))
    await world.handle(REFUND).result()
    bounced = Declined(code=PaymentErrorCode.Rejected, psp_id="re_1")
    reopening = start.model_copy(update={"resume": state})
    await world.notify(reopening, NotificationResult(outcome=bounced, event_id="evt_2"))
    await eventually(lambda: len(world.settlements) == 2)
    await world.handle(REFUND).result()
    refund = world.settlements[-1].settlement.refund
    assert refund is not None
    assert refund.amount == 0
    state = await world.state(REFUND)
    assert (state.status, state.refunded) == (Status.Succeeded, Decimal(0))
    assert len(world.webhooks) == 2


async def test_a_refused_reservation_is_a_failed_refund(world: World) -> None:
    refused = PspReply(
        outcome=Declined(code=PaymentErrorCode.InvalidAmount, message="Too much."),
        evidence=EvidenceKind.NOT_SENT,
        settled=True,
    )
    world.answers[activity_plans.REFUND.name] = [refused]
    state = await world.create(world.refund())
    assert state.status is Status.Failed
    assert state.failure.code is PaymentErrorCode.InvalidAmount
    await eventually(lambda: world.records)
    assert world.settlements == []


async def test_a_failure_told_between_two_attempts_calls_off_the_next_one(world: World) -> None:
    """It would reserve once more, and nobody would ever give that back."""
    lost = ApplicationError("lost", 1, type=PspFailure.UNKNOWN)
    declined = Declined(code=PaymentErrorCode.Rejected)
    world.answers[activity_plans.REFUND.name] = [lost]
    world.answers[activity_plans.FETCH_REFUND.name] = [
        PspReply(outcome=declined, evidence=EvidenceKind.READ)
    ]
    start = world.refund()
    with standing_still(world.env):
        await world.gateway.ensure_started(start)
        await world.gateway.caller_detached("m", REFUND, world.transaction_id)
        await eventually(lambda: world.called(activity_plans.REFUND))
        await world.notify(start, NotificationResult(outcome=declined, event_id="evt_1"))
        await eventually(lambda: world.settlements)
        sent = len(world.called(activity_plans.REFUND))
    assert await world.handle(REFUND).result() == "Failed"
    assert len(world.called(activity_plans.REFUND)) == sent
    assert len(world.called(activity_plans.FETCH_REFUND)) == 1
    (call,) = world.settlements
    assert not call.settlement.booked


async def test_two_who_learn_of_the_failure_at_once_tell_the_payment_once(world: World) -> None:
    await refund_failure_learned_twice(world)
    assert len(world.settlements) == 1
