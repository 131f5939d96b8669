"""Wait until every part of a starting stack is ready."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import httpx

from devtools.devstack import health, temporal
from devtools.devstack.address import Addresses
from devtools.devstack.data_dir import Layout
from devtools.devstack.errors import DevStackError
from devtools.devstack.supervisor import Supervisor
from integrator.settings import Settings

START_TIMEOUT_SECONDS = 60.0
_POLL_SECONDS = 0.2


async def wait_until_ready(
    settings: Settings,
    addresses: Addresses,
    layout: Layout,
    supervisor: Supervisor,
    http: httpx.AsyncClient,
) -> None:
    """Wait until all parts are ready; raises `DevStackError` when one cannot start or in time."""
    parts = {
        "the sandbox PSP": _wait_for_http(http, f"{addresses.sandbox_psp}/healthz"),
        "the codec server": _wait_for_http(http, f"{addresses.codec_server}/healthz"),
        "the API": _wait_for_http(http, f"{addresses.api}/readyz"),
        "the worker at Temporal": _wait_for_worker(settings, addresses, supervisor),
    }
    not_ready = await wait_for_all(parts, supervisor.require_alive, START_TIMEOUT_SECONDS)
    if not_ready:
        raise DevStackError(
            f"Not ready after {START_TIMEOUT_SECONDS:g} s: {', '.join(not_ready)}. "
            f"See the logs in {layout.log('api').parent}."
        )


async def wait_for_all(
    parts: Mapping[str, Coroutine[Any, Any, None]], check: Callable[[], None], timeout: float
) -> list[str]:
    """Run all parts concurrently and call `check` meanwhile; return the names of unfinished parts.

    An exception of a part or of `check` cancels all parts and is raised.
    """
    deadline = asyncio.get_running_loop().time() + timeout
    waiting = {asyncio.create_task(part, name=name) for name, part in parts.items()}
    try:
        while waiting and asyncio.get_running_loop().time() < deadline:
            done, waiting = await asyncio.wait(
                waiting, timeout=_POLL_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()
            check()
        return sorted(task.get_name() for task in waiting)
    finally:
        for task in waiting:
            task.cancel()


async def _wait_for_http(http: httpx.AsyncClient, url: str) -> None:
    await health.wait_until(lambda: health.responds(http, url))


async def _wait_for_worker(
    settings: Settings, addresses: Addresses, supervisor: Supervisor
) -> None:
    resolved = settings.model_copy(update={"temporal_address": addresses.temporal})
    client = await temporal.connect_when_ready(
        resolved, set_retention=settings.temporal_address is None
    )

    async def worker_polls() -> bool:
        pid = supervisor.pids().get("worker", 0)
        return await health.has_worker(client, settings.task_queue, pid)

    await health.wait_until(worker_polls)
