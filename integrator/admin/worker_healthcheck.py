"""`python -m integrator.admin.worker_healthcheck`: exit code 0 if this machine's worker asks Temporal for tasks.

The health check of a worker's container; a worker serves nothing that could be asked.
"""

import asyncio
import os
import socket
import sys

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client

from integrator.settings import Settings
from integrator.temporal.client import connect


async def probe(settings: Settings) -> bool:
    """Whether a worker of this host polls; raises RuntimeError when Temporal is away."""
    client = await connect(settings, lazy=False)
    host = f"@{socket.gethostname()}"
    kind = TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
    return any(name.endswith(host) for name in await pollers(client, settings.task_queue, kind))


async def pollers(client: Client, task_queue: str, kind: TaskQueueType.ValueType) -> list[str]:
    """The identities of the workers that ask for tasks of this kind."""
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=task_queue),
        task_queue_type=kind,
    )
    answer = await client.workflow_service.describe_task_queue(request)
    return [poller.identity for poller in answer.pollers]


def main() -> None:
    """Ends without the interpreter's own exit, which the SDK's threads can abort."""
    try:
        found = asyncio.run(probe(Settings()))
    except RuntimeError as error:
        sys.stderr.write(f"{error}\n")
        found = False
    sys.stderr.flush()
    os._exit(0 if found else 1)


if __name__ == "__main__":
    main()
