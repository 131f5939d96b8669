"""Health check of a worker's container: exit code 0 if this host's worker polls Temporal.

Run as `python -m integrator.admin.worker_healthcheck`; a worker has no HTTP endpoint to check.
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


async def is_polling(settings: Settings) -> bool:
    """Check whether a worker of this host polls; raises RuntimeError if Temporal is unavailable."""
    client = await connect(settings, lazy=False)
    host = f"@{socket.gethostname()}"
    queue_type = TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW
    return any(
        name.endswith(host)
        for name in await poller_identities(client, settings.task_queue, queue_type)
    )


async def poller_identities(
    client: Client, task_queue: str, queue_type: TaskQueueType.ValueType
) -> list[str]:
    """Return the identities of the workers that poll for tasks of this queue_type."""
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=task_queue),
        task_queue_type=queue_type,
    )
    response = await client.workflow_service.describe_task_queue(request)
    return [poller.identity for poller in response.pollers]


def main() -> None:
    """Run the check; skip the interpreter's own exit, which the SDK's threads can abort."""
    try:
        healthy = asyncio.run(is_polling(Settings()))
    except RuntimeError as error:
        sys.stderr.write(f"{error}\n")
        healthy = False
    sys.stderr.flush()
    os._exit(0 if healthy else 1)


if __name__ == "__main__":
    main()
