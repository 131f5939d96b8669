"""Waiting until every part of a stack that is being started answers."""

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
_LOOK_SECONDS = 0.2


async def until_ready(
    settings: Settings,
    addresses: Addresses,
    layout: Layout,
    supervisor: Supervisor,
    http: httpx.AsyncClient,
) -> None:
    """Return when everything answers; raises `DevStackError` when a part cannot, or in the end."""
    parts = {
        "the sandbox PSP": _answering(http, f"{addresses.sandbox_psp}/healthz"),
        "the codec server": _answering(http, f"{addresses.codec_server}/healthz"),
        "the API": _answering(http, f"{addresses.api}/readyz"),
        "the worker at Temporal": _working(settings, addresses, supervisor),
    }
    late = await all_done(parts, supervisor.require_alive, START_TIMEOUT_SECONDS)
    if late:
        raise DevStackError(
            f"Not ready after {START_TIMEOUT_SECONDS:g} s: {', '.join(late)}. "
            f"See the logs in {layout.log('api').parent}."
        )


async def all_done(
    parts: Mapping[str, Coroutine[Any, Any, None]], check: Callable[[], None], timeout: float
) -> list[str]:
    """Run all parts at once, `check` meanwhile; the names of those not done in time.

    What a part or `check` raises ends it all.
    """
    deadline = asyncio.get_running_loop().time() + timeout
    waiting = {asyncio.create_task(part, name=name) for name, part in parts.items()}
    try:
        while waiting and asyncio.get_running_loop().time() < deadline:
            done, waiting = await asyncio.wait(
                waiting, timeout=_LOOK_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()
            check()
        return sorted(task.get_name() for task in waiting)
    finally:
        for task in waiting:
            task.cancel()


async def _answering(http: httpx.AsyncClient, url: str) -> None:
    await health.until(lambda: health.answers(http, url))


async def _working(settings: Settings, addresses: Addresses, supervisor: Supervisor) -> None:
    resolved = settings.model_copy(update={"temporal_address": addresses.temporal})
    client = await temporal.connected(resolved, own=settings.temporal_address is None)

    async def polled() -> bool:
        pid = supervisor.pids().get("worker", 0)
        return await health.has_worker(client, settings.task_queue, pid)

    await health.until(polled)
