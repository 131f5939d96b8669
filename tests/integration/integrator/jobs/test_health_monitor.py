"""Checks of the worker's store and Temporal while neither answers."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from integrator.crypto.keys import KeyRing
from integrator.jobs.health_monitor import HealthMonitor, task_queues
from integrator.observability.health import HealthCheck, ProcessHealth, waiting
from integrator.settings import Settings
from integrator.store import Store
from integrator.temporal.client import connect
from integrator.temporal.poll_health import PollHealth

REFUSED = "127.0.0.1:1"


@pytest.fixture
async def silent() -> AsyncIterator[str]:
    """Yield the address of a server that accepts connections and never answers."""

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read()
        finally:
            writer.close()

    server = await asyncio.start_server(keep, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    server.close()


async def checks(address: str) -> dict[str, HealthCheck]:
    """Return the checks of a worker whose store and Temporal are at this address."""
    settings = Settings(temporal_address=address)
    health = ProcessHealth()
    health.beat()
    client = await connect(settings, lazy=True)
    async with Store(
        f"postgresql+asyncpg://u:p@{address}/integrator", KeyRing({"k": bytes(32)})
    ) as store:
        polls = PollHealth(task_queues(settings))
        await HealthMonitor(health, store, client, polls, lambda: b"").run()
    return health.read()


async def test_refused_connections_are_waiting() -> None:
    result = await checks(REFUSED)
    assert result["store"] == waiting("the database does not answer (StoreUnavailable)")
    assert result["temporal"].status == "waiting"
    assert REFUSED in result["temporal"].reason


async def test_servers_that_do_not_answer_are_waiting(silent: str) -> None:
    result = await checks(silent)
    assert result["store"] == waiting("the database does not answer within 3 s")
    assert result["temporal"].status == "waiting"
    assert silent in result["temporal"].reason
    for queue in task_queues(Settings()):
        assert "Temporal does not answer" in result[queue].reason
