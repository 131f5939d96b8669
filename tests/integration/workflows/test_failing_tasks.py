"""A transaction whose workflow tasks fail is found by `integrator heal`, and its remedy works."""

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import cast

import pytest
from temporalio import workflow
from temporalio.client import WorkflowExecutionStatus as Closed
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.operations.healing.workflow_view import FAILING_FROM, WorkflowReader
from integrator.psp.types import Pending
from integrator.store.models import TransactionRow
from tests.integration.workflows.conftest import WorkflowHarness, approved, eventually
from tests.integration.workflows.test_closed_workflows import harness_without_worker
from worker import WORKFLOWS
from workflows import activity_plans
from workflows.messages import PaymentInput, StoredState
from workflows.state import Evidence, EvidenceKind, PaymentState, TransactionKind

__all__ = ["harness_without_worker"]


@workflow.defn(name="PaymentWorkflow")
class BrokenPayment:
    """Code that does not fit: every task fails."""

    @workflow.run
    async def run(self, start: PaymentInput) -> str:
        """Fail the task."""
        raise RuntimeError("this code does not fit the history")


@pytest.fixture
def row(harness_without_worker: WorkflowHarness) -> TransactionRow:
    """Row of the harness's transaction, as far as the reader needs it."""
    names = {"merchant_id": "m", "kind": "payment"}
    names["transaction_id"] = harness_without_worker.transaction_id
    return cast(TransactionRow, SimpleNamespace(**names))


async def test_failing_tasks_are_counted_and_ended_by_the_remedy(
    env: WorkflowEnvironment, harness_without_worker: WorkflowHarness, row: TransactionRow
) -> None:
    harness, reader = harness_without_worker, WorkflowReader(harness_without_worker.client)
    start = harness.payment()
    assert not (await reader.read(row)).running
    await harness.client.ensure_started(start)
    broken = Worker(
        env.client,
        task_queue=harness.queue,
        workflows=[BrokenPayment],
        workflow_runner=UnsandboxedWorkflowRunner(),
    )
    key = ("m", TransactionKind.PAYMENT, harness.transaction_id)
    attempts = 0
    async with broken:
        while attempts < FAILING_FROM:
            attempts = (await harness.client.describe(*key)).task_attempts
    view = await reader.read(row)
    assert view.running
    assert view.problem is not None
    assert "task has failed" in view.problem

    await harness.handle(TransactionKind.PAYMENT).terminate("as the report says")
    assert await harness.client.closed_status(start) is Closed.TERMINATED
    assert not (await reader.read(row)).running
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [
        approved("ch_1", evidence=EvidenceKind.READ)
    ]
    whole = Worker(
        env.client, task_queue=harness.queue, workflows=WORKFLOWS, activities=harness.activities()
    )
    stored = _undecided(start)
    harness.stored = StoredState(snapshot=stored.model_dump_json())
    async with whole:
        await harness.client.look_up(start.model_copy(update={"resume": stored}))
        await eventually(lambda: harness.webhooks)
        view = await reader.read(row)
    assert view.state is not None
    assert view.state.status is Status.Succeeded
    assert not harness.calls_of(activity_plans.CHARGE)


def _undecided(start: PaymentInput) -> PaymentState:
    """Return the state that the store holds."""
    at = datetime.now(UTC)
    state = PaymentState(
        transaction_id=start.transaction_id,
        external_id=start.external_id,
        role=start.role,
        currency=start.currency,
        requested_amount=start.requested_amount,
        last_updated=at,
    )
    state.apply(Pending(psp_id="ch_1"), Evidence(kind=EvidenceKind.ANSWER, source="charge", at=at))
    return state
