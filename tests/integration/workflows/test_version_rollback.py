"""Test a rollback of the worker's version with transactions that took a branch of the newer one.

The older code cannot replay such a transaction: its tasks fail until the newer version is current
again. Meanwhile nothing is sent to the PSP for it, and nothing is sent twice afterwards.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from temporalio import activity, workflow
from temporalio.api.enums.v1 import EventType, WorkflowTaskFailedCause
from temporalio.client import Client
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from integrator.contract.enums import PaymentTransactionStatus
from integrator.operations import worker_versions
from integrator.settings import Settings
from integrator.temporal.worker_versioning import deployment_config, identity
from integrator.transactions.transaction_client import TransactionClient
from tests.integration.workflows.conftest import WorkflowHarness, approved
from tests.support.worker_versions import (
    TASK_FAILED,
    Handle,
    build,
    client,
    events_of,
    eventually,
    versioned_settings,
    wait_until_moved,
)
from worker import WORKFLOWS
from workflows import activity_plans
from workflows.messages import (
    REDELIVER,
    AnyInput,
    PaymentInput,
    PspCall,
    PspReply,
    workflow_id,
)
from workflows.payment import PaymentWorkflow
from workflows.psp_operation import PspOperation
from workflows.reconcile import ReconcileWorkflow
from workflows.state import TransactionKind

__all__ = ["client"]

PAYMENT = TransactionKind.PAYMENT
SUCCEEDED = PaymentTransactionStatus.Succeeded
NON_DETERMINISTIC = WorkflowTaskFailedCause.WORKFLOW_TASK_FAILED_CAUSE_NON_DETERMINISTIC_ERROR
ACTIVITY_SCHEDULED = EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
REPLAY_SECONDS = 1.0
"""An older worker that could replay a history would have completed the task by then."""


class CheckedOperation(PspOperation):
    """Operation of the newer code: it checks the credentials first."""

    async def run(self) -> None:
        if workflow.patched("check-credentials-first"):
            call = self._context.psp_call(activity_plans.CHECK_CREDENTIALS.name)
            await activity_plans.CHECK_CREDENTIALS(call, summary="check first")
        await super().run()


@workflow.defn(name="PaymentWorkflow")
class NewerPaymentWorkflow(PaymentWorkflow):
    """The payment's workflow of the newer code."""

    @workflow.init
    def __init__(self, start: PaymentInput) -> None:
        super().__init__(start)
        self._operation.__class__ = CheckedOperation

    @workflow.run
    async def run(self, start: PaymentInput) -> str:
        return await self._run()


NEWER = [NewerPaymentWorkflow if one is PaymentWorkflow else one for one in WORKFLOWS]


class Versions:
    """Workers of the older and the newer code, and payments of one merchant."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self.client = client
        self.settings = settings
        self.charging: set[str] = set()
        self.psp_answers = asyncio.Event()
        self.psp_answers.set()
        self._harness = WorkflowHarness(env=None, client=None, queue="")  # type: ignore[arg-type]
        self._harness.answers[activity_plans.CHARGE.name] = [approved("f1")]

    @asynccontextmanager
    async def working(self, version: str, workflows: list[type]) -> AsyncIterator[None]:
        """Run both workers of a version; their PSP answers when `psp_answers` is set."""
        own = build(self.settings, version)
        common: dict[str, Any] = {
            "workflow_runner": UnsandboxedWorkflowRunner(),
            "deployment_config": deployment_config(own),
            "identity": identity(own),
            "activities": self._activities(),
        }
        queues = (own.task_queue, own.reconcile_queue)
        async with (
            Worker(self.client, task_queue=queues[0], workflows=workflows, **common),
            Worker(self.client, task_queue=queues[1], workflows=[ReconcileWorkflow], **common),
        ):
            yield

    def _activities(self) -> list[Any]:
        @activity.defn(name=activity_plans.CHARGE.name)
        async def charge(call: PspCall) -> PspReply:
            self.charging.add(call.transaction_id)
            await self.psp_answers.wait()
            return approved("f1")

        others = self._harness.activities()
        names = [activity._Definition.must_from_callable(one).name for one in others]
        return [
            charge if name == activity_plans.CHARGE.name else one
            for name, one in zip(names, others, strict=True)
        ]

    async def create(self) -> Handle:
        """Create a payment as the API does; return when the charge is being made."""
        start = WorkflowHarness(env=None, client=None, queue="").payment()  # type: ignore[arg-type]

        async def refresh(start: AnyInput) -> AnyInput:
            return start

        transactions = TransactionClient(self.client, self.settings.task_queue, refresh)
        self.creating = asyncio.create_task(transactions.create(start))
        handle = self.client.get_workflow_handle(
            workflow_id(start.merchant_id, PAYMENT, start.transaction_id)
        )

        async def charging() -> bool:
            return start.transaction_id in self.charging

        await eventually(charging)
        return handle

    async def promote(self, version: str) -> None:
        await worker_versions.promote(self.settings, version)


@pytest.fixture
def versions(client: Client, tmp_path: Path) -> Versions:
    return Versions(client, versioned_settings(client, tmp_path))


async def failures(handle: Handle) -> set[int]:
    return {
        event.workflow_task_failed_event_attributes.cause
        for event in await events_of(handle, TASK_FAILED)
    }


async def calls_of(handle: Handle, activity_name: str) -> int:
    scheduled = await events_of(handle, ACTIVITY_SCHEDULED)
    types = [one.activity_task_scheduled_event_attributes.activity_type.name for one in scheduled]
    return types.count(activity_name)


async def assert_stopped(handle: Handle) -> None:
    """Check that the older version fails the next task as non-deterministic, and stays so."""
    await handle.signal(REDELIVER)

    async def failed() -> bool:
        return NON_DETERMINISTIC in await failures(handle)

    await eventually(failed)
    await asyncio.sleep(REPLAY_SECONDS)
    description = await handle.describe()
    assert description.raw_description.HasField("pending_workflow_task")


async def test_a_rolled_back_version_stops_its_transactions_and_charges_nothing_twice(
    versions: Versions,
) -> None:
    async with (
        versions.working("older", list(WORKFLOWS)),
        versions.working("newer", list(NEWER)),
    ):
        await versions.promote("older")
        before = await versions.create()
        assert (await versions.creating).status is SUCCEEDED

        await versions.promote("newer")
        await wait_until_moved(before, "newer")
        finished = await versions.create()
        assert (await versions.creating).status is SUCCEEDED
        versions.psp_answers.clear()
        charging = await versions.create()
        answer = versions.creating

        await versions.promote("older")
        await wait_until_moved(before, "older")  # it did not take the branch: it goes on
        versions.psp_answers.set()  # the PSP has charged; its answer is in the history
        await assert_stopped(finished)
        await assert_stopped(charging)
        assert not answer.done()

        await versions.promote("newer")
        for handle in (finished, charging, before):
            await wait_until_moved(handle, "newer")
            assert await calls_of(handle, activity_plans.CHARGE.name) == 1
        assert (await answer).status is SUCCEEDED
