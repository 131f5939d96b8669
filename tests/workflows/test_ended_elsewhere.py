"""What becomes of a transaction whose workflow somebody has ended in Temporal, on a real server."""

from uuid import uuid4

import pytest
from temporalio.client import WorkflowExecutionStatus as Closed
from temporalio.client import WorkflowFailureError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.types import Pending
from integrator.transactions.transaction_client import TransactionClient
from tests.workflows.conftest import World, approved, eventually
from worker import WORKFLOWS
from workflows import activity_plans
from workflows.messages import AnyInput, PspReply
from workflows.state import EvidenceKind, TransactionKind

NOT_THERE = PspReply(outcome=None, evidence=EvidenceKind.READ, absence_proven=True)


@pytest.fixture
def unattended(env: WorkflowEnvironment) -> World:
    """A world that no worker has come to yet."""

    async def refresh(start: AnyInput) -> AnyInput:
        return start

    queue = f"test-{uuid4().hex}"
    return World(
        env=env, gateway=TransactionClient(env.client, queue, refresh), queue=queue, records=[]
    )


async def test_one_cancelled_before_it_ran_is_begun_again(unattended: World) -> None:
    world, start = unattended, unattended.payment()
    await world.gateway.ensure_started(start)
    assert await world.gateway.closed_status(start) is None
    await world.gateway.caller_detached("m", TransactionKind.PAYMENT, world.transaction_id)
    await world.handle(TransactionKind.PAYMENT).cancel()
    world.answers[activity_plans.CHARGE.name] = [approved("ch_1")]
    worker = Worker(
        world.env.client,
        task_queue=world.queue,
        workflows=WORKFLOWS,
        activities=world.activities(),
    )
    async with worker:
        with pytest.raises(WorkflowFailureError):
            await world.handle(TransactionKind.PAYMENT).result()
        assert await world.gateway.closed_status(start) is Closed.CANCELED
        assert not world.called(activity_plans.CHARGE)
        assert not await world.gateway.ensure_started(start)
        assert await world.gateway.ensure_started(start, again=True)
        await world.gateway.caller_detached("m", TransactionKind.PAYMENT, world.transaction_id)
        await eventually(lambda: world.called(activity_plans.CHARGE))


async def test_of_a_terminated_one_the_psp_is_asked(world: World) -> None:
    world.answers[activity_plans.CHARGE.name] = [
        PspReply(outcome=Pending(psp_id=None), evidence=EvidenceKind.ANSWER)
    ]
    world.answers[activity_plans.FETCH_PAYMENT.name] = [NOT_THERE]
    start = world.payment()
    state = await world.create(start)
    await world.handle(TransactionKind.PAYMENT).terminate("by mistake")
    assert await world.gateway.closed_status(start) is Closed.TERMINATED
    await world.gateway.look_up(start.model_copy(update={"resume": state}))
    await eventually(lambda: world.called(activity_plans.FETCH_PAYMENT))
    await eventually(lambda: world.webhooks)
    assert (await world.state(TransactionKind.PAYMENT)).status is Status.Failed
    assert len(world.called(activity_plans.CHARGE)) == 1
