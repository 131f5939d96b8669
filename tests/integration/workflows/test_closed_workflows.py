"""Transactions whose workflow was cancelled or terminated in Temporal, on a real server."""

from uuid import uuid4

import pytest
from temporalio.client import WorkflowExecutionStatus as Closed
from temporalio.client import WorkflowFailureError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.types import Pending
from integrator.transactions.transaction_client import TransactionClient
from tests.integration.workflows.conftest import WorkflowHarness, approved, eventually
from worker import WORKFLOWS
from workflows import activity_plans
from workflows.messages import AnyInput, PspReply
from workflows.state import EvidenceKind, TransactionKind

ABSENT = PspReply(outcome=None, evidence=EvidenceKind.READ, absence_proven=True)


@pytest.fixture
def harness_without_worker(env: WorkflowEnvironment) -> WorkflowHarness:
    """Harness without a worker."""

    async def refresh(start: AnyInput) -> AnyInput:
        return start

    queue = f"test-{uuid4().hex}"
    return WorkflowHarness(
        env=env, client=TransactionClient(env.client, queue, refresh), queue=queue, records=[]
    )


async def test_a_workflow_cancelled_before_it_ran_is_started_again(
    harness_without_worker: WorkflowHarness,
) -> None:
    harness, start = harness_without_worker, harness_without_worker.payment()
    await harness.client.ensure_started(start)
    assert await harness.client.closed_status(start) is None
    await harness.client.caller_detached("m", TransactionKind.PAYMENT, harness.transaction_id)
    await harness.handle(TransactionKind.PAYMENT).cancel()
    harness.answers[activity_plans.CHARGE.name] = [approved("ch_1")]
    worker = Worker(
        harness.env.client,
        task_queue=harness.queue,
        workflows=WORKFLOWS,
        activities=harness.activities(),
    )
    async with worker:
        with pytest.raises(WorkflowFailureError):
            await harness.handle(TransactionKind.PAYMENT).result()
        assert await harness.client.closed_status(start) is Closed.CANCELED
        assert not harness.calls_of(activity_plans.CHARGE)
        assert not await harness.client.ensure_started(start)
        assert await harness.client.ensure_started(start, replace_failed=True)
        await harness.client.caller_detached("m", TransactionKind.PAYMENT, harness.transaction_id)
        await eventually(lambda: harness.calls_of(activity_plans.CHARGE))


async def test_a_terminated_transaction_is_looked_up_at_the_psp(harness: WorkflowHarness) -> None:
    harness.answers[activity_plans.CHARGE.name] = [
        PspReply(outcome=Pending(psp_id=None), evidence=EvidenceKind.ANSWER)
    ]
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [ABSENT]
    start = harness.payment()
    state = await harness.create(start)
    await harness.handle(TransactionKind.PAYMENT).terminate("by mistake")
    assert await harness.client.closed_status(start) is Closed.TERMINATED
    await harness.client.look_up(start.model_copy(update={"resume": state}))
    await eventually(lambda: harness.calls_of(activity_plans.FETCH_PAYMENT))
    await eventually(lambda: harness.webhooks)
    assert (await harness.state(TransactionKind.PAYMENT)).status is Status.Failed
    assert len(harness.calls_of(activity_plans.CHARGE)) == 1
