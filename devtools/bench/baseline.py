"""The bare engine: its worker process (`python -m devtools.bench.baseline`) and the calls of its client.

It has what the integrator's processes have: the same server, SDK, sandbox, data converter and
poller settings. It has no HTTP, no store, no PSP and no state of its own.
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
from integrator.temporal.client import connect_patiently

TEXT = "x" * 200
"""About what the integrator's inputs hold."""


class Engine:
    """Calls in this process, without HTTP."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def create(self, id: str) -> None:
        """Start a workflow and wait for its first outcome, as `integrator.transactions.transaction_client` does."""
        operation = WithStartWorkflowOperation(
            Bare.run,
            TEXT,
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
        """Ask an open workflow."""
        await self._client.get_workflow_handle(id).query(Bare.state)


async def _work() -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    client = await connect_patiently(Settings())
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
    asyncio.run(_work())
    sys.stdout.flush()
    # As in worker.py: the SDK's native threads can abort the interpreter's own exit.
    os._exit(0)
