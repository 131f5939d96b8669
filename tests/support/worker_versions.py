"""Real workers of several versions in one process, and what Temporal records of them."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

import worker
from integrator.crypto.keys import KeyRing
from integrator.operations import worker_versions
from integrator.settings import Settings
from integrator.store import Store
from integrator.temporal.worker_versioning import parse_identity
from tests.integration.workflows.conftest import WorkflowHarness
from tests.support.billwerk import new_id
from tests.support.temporal import temporal_binary
from workflows import search_attributes

TASK_COMPLETED = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
TASK_FAILED = EventType.EVENT_TYPE_WORKFLOW_TASK_FAILED

SERVER_ADDRESS = "VERSIONS_TEMPORAL_ADDRESS"
"""Variable with the address of a running server to test, configured as `FAST_DRAINAGE`."""

FAST_DRAINAGE = {
    "matching.longPollExpirationInterval": "2s",
    "matching.PollerHistoryTTL": "5s",
    "matching.wv.VersionDrainageStatusVisibilityGracePeriod": "1s",
    "matching.wv.VersionDrainageStatusRefreshInterval": "1s",
}
"""Minutes in production. A worker is listed if its last poll began within the history's TTL, which
therefore exceeds the duration of a poll."""

WITHOUT_EFFECT = "without_effect"
"""Name of a signal that the workflows do not know: it only causes a task."""

Handle = WorkflowHandle[Any, Any]


@asynccontextmanager
async def versions_server() -> AsyncIterator[Client]:
    """Start a server with short drainage, or connect to the running one that is named."""
    address = os.environ.get(SERVER_ADDRESS)
    if address:
        yield await Client.connect(address, data_converter=pydantic_data_converter)
        return
    flags = [f'{key}="{value}"' for key, value in FAST_DRAINAGE.items()]
    async with await WorkflowEnvironment.start_local(
        data_converter=pydantic_data_converter,
        search_attributes=search_attributes.KEYS,
        dev_server_existing_path=temporal_binary(),
        dev_server_extra_args=[arg for flag in flags for arg in ("--dynamic-config-value", flag)],
    ) as environment:
        yield environment.client


def versioned_settings(client: Client, folder: Path) -> Settings:
    """Return settings with a task queue and a deployment of their own."""
    name = f"{folder.name}-{new_id()[-8:]}"
    return Settings(
        data_dir=folder,
        temporal_address=client.service_client.config.target_host,
        task_queue=name,
        worker_deployment=f"integrator-{name}",
    )


def build(settings: Settings, build_id: str) -> Settings:
    """Return the settings of a worker with this build id."""
    return settings.model_copy(update={"worker_build_id": build_id})


@asynccontextmanager
async def working(client: Client, settings: Settings, build_id: str) -> AsyncIterator[None]:
    """Run the real worker with this build id."""
    own = build(settings, build_id)
    async with (
        Store(settings.resolved_database_url, KeyRing({"test": bytes(32)})) as store,
        httpx.AsyncClient() as http,
        worker.build_worker(client, own, store, http, http),
        worker.build_reconciliation_worker(client, own, store, http),
    ):
        yield


async def eventually(check: Callable[[], Awaitable[bool]], seconds: float = 20) -> None:
    """Wait until the check is true."""
    for _ in range(int(seconds / 0.05)):
        if await check():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the condition did not become true in time")


async def states(settings: Settings) -> dict[str, str]:
    """Return the status of each version."""
    read = await worker_versions.read_versions(settings)
    return {version.build_id: version.status for version in read.versions}


async def events_of(handle: Handle, kind: EventType.ValueType) -> list[Any]:
    """Return the workflow's events of this kind."""
    return [event for event in (await handle.fetch_history()).events if event.event_type == kind]


async def builds(handle: Handle) -> list[str | None]:
    """Return the build id of each completed task, by the workers' identities."""
    done = await events_of(handle, TASK_COMPLETED)
    found = [
        parse_identity(event.workflow_task_completed_event_attributes.identity) for event in done
    ]
    return [identity.build_id if identity else None for identity in found]


async def next_build(handle: Handle) -> str | None:
    """Return the build id that takes the next task of a running workflow."""
    before = len(await builds(handle))
    await handle.signal(WITHOUT_EFFECT)

    async def taken() -> bool:
        return len(await builds(handle)) > before

    await eventually(taken)
    return (await builds(handle))[before]


async def wait_until_moved(handle: Handle, build_id: str) -> None:
    """Wait until tasks go to the build: one may still go to the previous worker."""

    async def taken() -> bool:
        return await next_build(handle) == build_id

    await eventually(taken)
    assert {await next_build(handle) for _ in range(3)} == {build_id}


async def start_payment(client: Client, settings: Settings) -> Handle:
    """Start a payment whose caller has not sent its update: it waits."""
    start = WorkflowHarness(env=None, client=None, queue="").payment()  # type: ignore[arg-type]
    return await client.start_workflow(
        "PaymentWorkflow", start, id=start.transaction_id, task_queue=settings.task_queue
    )


@pytest.fixture(scope="module")
async def client() -> AsyncIterator[Client]:
    async with versions_server() as client:
        yield client
