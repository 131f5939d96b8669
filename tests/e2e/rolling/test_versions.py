"""Test worker versions on a real server: no tasks before the promotion, all after it."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError
from temporalio.api.enums.v1 import EventType
from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

import worker
from integrator.admin.errors import OperatorError
from integrator.crypto.keys import KeyRing
from integrator.operations import worker_versions
from integrator.settings import Settings
from integrator.store import Store
from integrator.store.migrate import upgrade
from integrator.temporal.worker_versioning import (
    build_id,
    code_fingerprint,
    identity,
    parse_identity,
)
from tests.integration.workflows.conftest import WorkflowHarness
from tests.support.temporal import temporal_binary
from workflows import search_attributes
from workflows.messages import REDELIVER, STATE

COMPLETED = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
IDLE_SECONDS = 1.0
"""An available task is taken within milliseconds."""

Handle = WorkflowHandle[Any, Any]


@pytest.fixture(scope="module")
async def client() -> AsyncIterator[Client]:
    async with await WorkflowEnvironment.start_local(
        data_converter=pydantic_data_converter,
        search_attributes=search_attributes.KEYS,
        dev_server_existing_path=temporal_binary(),
    ) as environment:
        yield environment.client


@pytest.fixture
async def settings(client: Client, tmp_path: Path) -> Settings:
    settings = Settings(
        data_dir=tmp_path,
        temporal_address=client.service_client.config.target_host,
        task_queue=tmp_path.name,
        worker_deployment=f"integrator-{tmp_path.name}",
    )
    await upgrade(settings.resolved_database_url)
    return settings


@asynccontextmanager
async def working(client: Client, settings: Settings, build: str) -> AsyncIterator[None]:
    """Run the real worker with this build id."""
    own = settings.model_copy(update={"worker_build_id": build})
    async with (
        Store(settings.resolved_database_url, KeyRing({"test": bytes(32)})) as store,
        httpx.AsyncClient() as http,
        worker.build_worker(client, own, store, http, http),
        worker.build_reconciliation_worker(client, own, store, http),
    ):
        yield


async def eventually(check: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(200):
        if await check():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the condition did not become true in time")


async def promote_when_polling(settings: Settings, build: str) -> None:
    """Promote a build as soon as its worker polls."""

    async def polls() -> bool:
        return build in states_of(await worker_versions.read_versions(settings))

    await eventually(polls)
    await worker_versions.promote(settings, build)


def states_of(versions: worker_versions.WorkerVersions) -> dict[str, str]:
    return {version.build_id: version.status for version in versions.versions}


async def start_payment(client: Client, settings: Settings) -> Handle:
    """Start a payment whose caller has not sent its update: it waits."""
    start = WorkflowHarness(env=None, client=None, queue="").payment()  # type: ignore[arg-type]
    return await client.start_workflow(
        "PaymentWorkflow", start, id=start.transaction_id, task_queue=settings.task_queue
    )


async def builds(handle: Handle) -> list[str | None]:
    """Return the build id of each completed task, by the workers' identities."""
    events = (await handle.fetch_history()).events
    done = [e.workflow_task_completed_event_attributes for e in events if e.event_type == COMPLETED]
    identities = [parse_identity(task.identity) for task in done]
    return [identity.build_id if identity else None for identity in identities]


async def next_build(handle: Handle) -> str | None:
    """Return the build id that takes the next task of a running workflow."""
    before = len(await builds(handle))
    await handle.signal(REDELIVER)

    async def taken() -> bool:
        return len(await builds(handle)) > before

    await eventually(taken)
    return (await builds(handle))[before]


async def wait_until_moved(handle: Handle, build: str) -> None:
    """Wait until tasks go to `build`: one may still go to the previous worker."""

    async def taken() -> bool:
        return await next_build(handle) == build

    await eventually(taken)
    assert {await next_build(handle) for _ in range(3)} == {build}


async def test_a_version_gets_nothing_before_its_promotion_and_everything_after(
    client: Client, settings: Settings
) -> None:
    async with working(client, settings, "one"):
        running = await start_payment(client, settings)
        await asyncio.sleep(IDLE_SECONDS)
        assert await builds(running) == []
        await promote_when_polling(settings, "one")
        await running.query(STATE)
        assert await next_build(running) == "one"

        async with working(client, settings, "two"):
            await asyncio.sleep(IDLE_SECONDS)
            assert await next_build(running) == "one"
            assert await next_build(await start_payment(client, settings)) == "one"
            assert states_of(await worker_versions.read_versions(settings)) == {
                "one": "current",
                "two": "inactive",
            }

            await promote_when_polling(settings, "two")
            await wait_until_moved(running, "two")
            assert await next_build(await start_payment(client, settings)) == "two"

            await promote_when_polling(settings, "one")
            await wait_until_moved(running, "one")


async def test_a_build_without_workers_cannot_be_promoted(
    client: Client, settings: Settings
) -> None:
    async with working(client, settings, "one"):
        await promote_when_polling(settings, "one")
        with pytest.raises(OperatorError, match="Temporal rejected the request"):
            await worker_versions.promote(settings, "none")


async def test_without_a_deployment_every_polling_worker_gets_tasks(
    client: Client, settings: Settings
) -> None:
    unversioned = settings.model_copy(update={"worker_deployment": None})
    async with working(client, unversioned, "one"):
        assert await next_build(await start_payment(client, unversioned)) == "one"
        versions = await worker_versions.read_versions(unversioned)
        assert (versions.pollers[0].build_id, versions.versions) == ("one", [])
        with pytest.raises(OperatorError, match="INTEGRATOR_WORKER_DEPLOYMENT"):
            await worker_versions.promote(unversioned, "one")


async def test_the_command_line_shows_and_promotes(client: Client, settings: Settings) -> None:
    def integrator(*arguments: str) -> str:
        env = {
            **os.environ,
            "INTEGRATOR_DATA_DIR": str(settings.data_dir),
            "INTEGRATOR_TEMPORAL_ADDRESS": settings.resolved_temporal_address,
            "INTEGRATOR_TASK_QUEUE": settings.task_queue,
            "INTEGRATOR_WORKER_DEPLOYMENT": str(settings.worker_deployment),
        }
        command = [sys.executable, "-m", "integrator.cli", "worker", *arguments]
        done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
        return done.stdout

    async with working(client, settings, "one"):
        await promote_when_polling(settings, "one")
        async with working(client, settings, "two"):

            async def polls() -> bool:
                return "two" in states_of(await worker_versions.read_versions(settings))

            await eventually(polls)
            assert "two is the current" in await asyncio.to_thread(integrator, "promote", "two")
            output = await asyncio.to_thread(integrator, "versions")
            assert [word for word in output.split() if word in ("current", "draining")]
            assert str(os.getpid()) in output


def test_a_build_is_known_by_its_code_unless_it_is_named(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert build_id(settings).endswith(f"-{code_fingerprint()}")
    named = settings.model_copy(update={"worker_build_id": "2026-11-23.1"})
    parsed = parse_identity(identity(named))
    assert parsed is not None
    assert parsed.process.startswith(f"{os.getpid()}@")
    assert parsed.build_id == "2026-11-23.1"
    assert build_id(settings).startswith(f"{parsed.version}-")
    assert parse_identity("4711@somewhere") is None


def test_a_name_that_temporal_or_the_identity_could_not_take_is_refused(tmp_path: Path) -> None:
    for name in ("a.b", "a:b", ""):
        with pytest.raises(ValidationError):
            Settings(data_dir=tmp_path, worker_deployment=name)
    with pytest.raises(ValidationError):
        Settings(data_dir=tmp_path, worker_build_id="with a space")
