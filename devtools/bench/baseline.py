"""Baseline without the integrator: worker process (`python -m devtools.bench.baseline`) and client.

It uses the same server, SDK, sandbox, data converter and poller settings as the integrator's
processes. It has no HTTP, no store, no PSP and no state.
"""

import asyncio
import os
import signal
import sys

from temporalio.client import Client, WithStartWorkflowOperation
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.worker import PollerBehaviorAutoscaling, Worker

from devtools.bench.baseline_workflow import TASK_QUEUE, Bare, nothing
from integrator.settings import Settings
from integrator.temporal.client import connect

PAYLOAD = "x" * 200
"""About the size of the integrator's inputs."""


class Baseline:
    """Client that calls the baseline workflow from this process, without HTTP."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def create(self, id: str) -> None:
        """Start a workflow and wait for its first outcome, as `TransactionClient` does."""
        operation = WithStartWorkflowOperation(
            Bare.run,
            PAYLOAD,
            id=id,
            task_queue=TASK_QUEUE,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
        )
        await self._client.execute_update_with_start_workflow(
            Bare.create, start_workflow_operation=operation, id="create"
        )
        await operation.workflow_handle()

    async def query(self, id: str) -> None:
        """Query an open workflow."""
        await self._client.get_workflow_handle(id).query(Bare.state)


async def _run_worker() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    client = await connect(Settings(), lazy=False)
    worker = Worker(
        client,
        task_queue=TASK_QUEUE,
        workflows=[Bare],
        activities=[nothing],
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
    )
    async with worker:
        await stop.wait()


if __name__ == "__main__":
    asyncio.run(_run_worker())
    sys.stdout.flush()
    # As in worker.py: the SDK's native threads can abort a regular interpreter exit.
    os._exit(0)
