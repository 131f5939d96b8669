"""Whether the parts of a stack answer."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx
from temporalio.api.enums.v1 import TaskQueueType
from temporalio.client import Client
from temporalio.service import RPCError

from integrator.admin.worker_healthcheck import pollers

_PAUSE_SECONDS = 0.05

Check = Callable[[], Awaitable[bool]]


async def until(check: Check) -> None:
    """Return when `check` says yes."""
    while not await check():  # noqa: ASYNC110 - what is awaited happens in another process
        await asyncio.sleep(_PAUSE_SECONDS)


async def answers(http: httpx.AsyncClient, url: str) -> bool:
    """Whether a GET is answered with success."""
    try:
        return (await http.get(url)).is_success
    except httpx.RequestError:
        return False


async def has_worker(client: Client, task_queue: str, pid: int) -> bool:
    """Whether the worker with this pid asks for workflow and activity tasks.

    Others do not count: the server still lists workers that went minutes ago.
    """
    kinds = (TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW, TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY)
    try:
        found = [await pollers(client, task_queue, kind) for kind in kinds]
    except RPCError:
        return False
    # The default identity of a client is its process id, an @ and the host.
    return all(any(name.startswith(f"{pid}@") for name in names) for names in found)
