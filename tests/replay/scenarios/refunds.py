"""Refunds: done, pending and failed, failed between two attempts."""

import asyncio
from datetime import timedelta

from temporalio.exceptions import ApplicationError

from integrator.contract.enums import PaymentErrorCode
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.types import Declined, FactKind
from tests.replay.scenarios.parts import PENDING, Handle, ended, notice
from tests.workflows.conftest import World, approved, eventually, standing_still
from workflows import activity_plans
from workflows.messages import PspReply
from workflows.state import EvidenceKind, TransactionKind


async def refund_failed_between_attempts(world: World) -> Handle:
    """The PSP told of the failure while its answer was still being asked for again."""
    declined = PspReply(
        outcome=Declined(code=PaymentErrorCode.Rejected), evidence=EvidenceKind.READ
    )
    world.answers[activity_plans.REFUND.name] = [ApplicationError("lost", 1, type="OutcomeUnknown")]
    world.answers[activity_plans.FETCH_REFUND.name] = [declined]
    start = world.refund()
    with standing_still(world.env):
        await world.gateway.ensure_started(start)
        await world.gateway.caller_detached("m", TransactionKind.REFUND, world.transaction_id)
        await eventually(lambda: world.called(activity_plans.REFUND))
        await world.notify(start, notice(declined))
        await eventually(lambda: "settled" in world.order)
    await world.handle(TransactionKind.REFUND).result()
    return world.handle(TransactionKind.REFUND)


async def refund_failure_learned_twice(world: World) -> Handle:
    """The look-up finds the failure, too, while the payment is being told of it."""

    async def look_up_answers() -> None:
        await eventually(lambda: world.called(activity_plans.FETCH_REFUND))
        await asyncio.sleep(0.5)  # its answer reaches the workflow, which has nothing to show yet

    world.while_settling = look_up_answers
    return await refund_failed_between_attempts(world)


async def refund_succeeded(world: World) -> Handle:
    done = approved("re_1", kind=FactKind.REFUNDED, psp_id="re_1")
    world.answers[activity_plans.REFUND.name] = [done.model_copy(update={"settled": True})]
    await world.create(world.refund())
    await world.handle(TransactionKind.REFUND).result()
    return world.handle(TransactionKind.REFUND)


async def refund_pending_then_failed(world: World) -> Handle:
    world.answers[activity_plans.REFUND.name] = [PENDING]
    world.answers[activity_plans.FETCH_REFUND.name] = [ended(Status.Failed)]
    await world.create(world.refund())
    await world.later(TransactionKind.REFUND, timedelta(minutes=5))
    await world.handle(TransactionKind.REFUND).result()
    return world.handle(TransactionKind.REFUND)


STORIES = (
    refund_succeeded,
    refund_pending_then_failed,
    refund_failed_between_attempts,
    refund_failure_learned_twice,
)
