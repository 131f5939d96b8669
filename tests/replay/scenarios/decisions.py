"""What operators decide: before anything was sent, while it is sent, against the PSP's word."""

from decimal import Decimal

from temporalio.exceptions import ApplicationError

from integrator.contract.enums import PaymentTransactionStatus as Status
from tests.replay.scenarios.parts import NOON, PENDING, Handle, begun, left_alone, notice
from tests.workflows.conftest import World, approved, eventually, standing_still
from workflows import activity_plans
from workflows.messages import PspFailure
from workflows.state import Decision, DecisionKind, EvidenceKind, TransactionKind

PAYMENT = TransactionKind.PAYMENT
UNKNOWN = ApplicationError("lost", 1, type=PspFailure.UNKNOWN)


def decided(kind: DecisionKind, psp_id: str | None = None) -> Decision:
    amount = Decimal("10.00") if psp_id else None
    return Decision(kind=kind, by="ops", reason="asked", at=NOON, psp_id=psp_id, amount=amount)


async def payment_decided_before_sending(world: World) -> Handle:
    """Nobody had asked for the outcome yet; nothing is sent any more."""
    start = world.payment(preauth_id="a1")
    handle = await begun(world, start)
    await world.gateway.resolve(start, decided(DecisionKind.FAILED))
    await handle.result()
    return handle


async def payment_decided_while_sending(world: World) -> Handle:
    """The attempts are called off; the same decision again, and another one, change nothing."""
    world.answers[activity_plans.CHARGE.name] = [UNKNOWN]
    world.answers[activity_plans.FETCH_PAYMENT.name] = [
        approved("ch_1", evidence=EvidenceKind.READ)
    ]
    start = world.payment()
    with standing_still(world.env):
        handle = await left_alone(world, start)
        await eventually(lambda: world.called(activity_plans.CHARGE))
        for _ in range(2):
            await world.gateway.resolve(start, decided(DecisionKind.SUCCEEDED, "ch_1"))
        await world.gateway.resolve(start, decided(DecisionKind.FAILED))
        await eventually(lambda: world.webhooks)
    return handle


async def payment_decided_too_late(world: World) -> Handle:
    """The PSP speaks while the money's owner is being told; its word counts, and is told next."""
    world.answers[activity_plans.CAPTURE.name] = [PENDING]
    start = world.payment(preauth_id="a1")
    await world.create(start)

    async def psp_speaks() -> None:
        if len(world.settlements) == 1:
            await world.gateway.redeliver(start)
            await world.notify(start, notice(approved("ch_1")))
            await world.until(PAYMENT, Status.Succeeded)

    world.while_settling = psp_speaks
    reply = await world.gateway.resolve(start, decided(DecisionKind.FAILED))
    assert reply.refusal is not None
    return world.handle(PAYMENT)


async def payment_acknowledged(world: World) -> Handle:
    """It asked for attention and somebody has looked."""
    world.answers[activity_plans.CHARGE.name] = [PENDING]
    start = world.payment()
    await world.create(start)
    await world.handle(PAYMENT).cancel()
    await world.state(PAYMENT)
    await world.gateway.resolve(start, decided(DecisionKind.ACKNOWLEDGE))
    return world.handle(PAYMENT)


STORIES = (
    payment_decided_before_sending,
    payment_decided_while_sending,
    payment_decided_too_late,
    payment_acknowledged,
)
