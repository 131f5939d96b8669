"""Health checks of the parts of a stack."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import DescribeTaskQueueRequest
from temporalio.client import Client
from temporalio.service import RPCError

_PAUSE_SECONDS = 0.05

Check = Callable[[], Awaitable[bool]]


async def wait_until(check: Check) -> None:
    """Wait until `check` returns True."""
    while not await check():  # noqa: ASYNC110 - what is awaited happens in another process
        await asyncio.sleep(_PAUSE_SECONDS)


async def responds(http: httpx.AsyncClient, url: str) -> bool:
    """Return whether a GET of `url` succeeds."""
    try:
        return (await http.get(url)).is_success
    except httpx.RequestError:
        return False


async def has_worker(client: Client, task_queue: str, pid: int) -> bool:
    """Return whether the worker with this pid polls for workflow and activity tasks.

    Other pids do not count: the server still lists workers that stopped minutes ago.
    """
    kinds = (TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY)
    try:
        poller_names = [await _poller_identities(client, task_queue, kind) for kind in kinds]
    except RPCError:
        return False
    # The default identity of a client is its process id, an @ and the host name.
    return all(any(name.startswith(f"{pid}@") for name in names) for names in poller_names)


async def _poller_identities(
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
