"""What becomes of a transaction whose workflow somebody has ended in Temporal, on a real server."""

from uuid import uuid4

import pytest
from temporalio.client import WorkflowExecutionStatus as Closed
from temporalio.client import WorkflowFailureError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities import plan
from contract.enums import PaymentTransactionStatus as Status
from psp.types import Pending
from tests.workflows.conftest import World, approved, eventually
from worker import WORKFLOWS
from workflows.gateway import Gateway
from workflows.messages import AnyInput, PspReply
from workflows.state import EvidenceKind, Kind

NOT_THERE = PspReply(outcome=None, evidence=EvidenceKind.READ, absence_proven=True)


@pytest.fixture
def unattended(env: WorkflowEnvironment) -> World:
    """A world that no worker has come to yet."""

    async def refresh(start: AnyInput) -> AnyInput:
        return start

    queue = f"test-{uuid4().hex}"
    return World(env=env, gateway=Gateway(env.client, queue, refresh), queue=queue, records=[])


async def test_one_cancelled_before_it_ran_is_begun_again(unattended: World) -> None:
    world, start = unattended, unattended.payment()
    await world.gateway.begin(start)
    assert await world.gateway.closed_as(start) is None
    await world.gateway.caller_left("m", Kind.PAYMENT, world.transaction_id)
    await world.handle(Kind.PAYMENT).cancel()
    world.answers[plan.CHARGE.name] = [approved("ch_1")]
    worker = Worker(
        world.env.client,
        task_queue=world.queue,
        workflows=WORKFLOWS,
        activities=world.activities(),
    )
    async with worker:
        with pytest.raises(WorkflowFailureError):
            await world.handle(Kind.PAYMENT).result()
        assert await world.gateway.closed_as(start) is Closed.CANCELED
        assert not world.called(plan.CHARGE)
        assert not await world.gateway.begin(start)
        assert await world.gateway.begin(start, again=True)
        await world.gateway.caller_left("m", Kind.PAYMENT, world.transaction_id)
        await eventually(lambda: world.called(plan.CHARGE))


async def test_of_a_terminated_one_the_psp_is_asked(world: World) -> None:
    world.answers[plan.CHARGE.name] = [
        PspReply(outcome=Pending(psp_id=None), evidence=EvidenceKind.ANSWER)
    ]
    world.answers[plan.FETCH_PAYMENT.name] = [NOT_THERE]
    start = world.payment()
    state = await world.create(start)
    await world.handle(Kind.PAYMENT).terminate("by mistake")
    assert await world.gateway.closed_as(start) is Closed.TERMINATED
    await world.gateway.look_up(start.model_copy(update={"resume": state}))
    await eventually(lambda: world.called(plan.FETCH_PAYMENT))
    await eventually(lambda: world.webhooks)
    assert (await world.state(Kind.PAYMENT)).status is Status.Failed
    assert len(world.called(plan.CHARGE)) == 1
