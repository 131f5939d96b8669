"""Worker versions on a real server: nothing before the promotion, everything after it."""

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
    read_identity,
)
from tests.support.temporal import temporal_binary
from tests.workflows.conftest import World
from workflows import search_attributes
from workflows.messages import REDELIVER, STATE

COMPLETED = EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
QUIET_SECONDS = 1.0
"""A task that anybody would take is taken within milliseconds."""

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
    """The real worker, saying that it is of this build."""
    own = settings.model_copy(update={"worker_build_id": build})
    async with (
        Store(settings.resolved_database_url, KeyRing({"test": bytes(32)})) as store,
        httpx.AsyncClient() as nobody,
        worker.build_worker(client, own, store, nobody, nobody),
        worker.build_reconciler(client, own, store, nobody),
    ):
        yield


async def eventually(check: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(200):
        if await check():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it did not come true in time")


async def promoted(settings: Settings, build: str) -> None:
    """As an operator who waits for the new worker to show."""

    async def polls() -> bool:
        return build in states_of(await worker_versions.look(settings))

    await eventually(polls)
    await worker_versions.promote(settings, build)


def states_of(found: worker_versions.Found) -> dict[str, str]:
    return {version.build_id: version.status for version in found.versions}


async def begun(client: Client, settings: Settings) -> Handle:
    """A payment whose caller has not asked for the outcome: it waits and does nothing."""
    start = World(env=None, gateway=None, queue="").payment()  # type: ignore[arg-type]
    return await client.start_workflow(
        "PaymentWorkflow", start, id=start.transaction_id, task_queue=settings.task_queue
    )


async def builds(handle: Handle) -> list[str | None]:
    """Who has worked on it, task by task, as the identities tell."""
    events = (await handle.fetch_history()).events
    done = [e.workflow_task_completed_event_attributes for e in events if e.event_type == COMPLETED]
    known = [read_identity(task.identity) for task in done]
    return [one.build_id if one else None for one in known]


async def next_build(handle: Handle) -> str | None:
    """Who takes the next task of a workflow that runs."""
    before = len(await builds(handle))
    await handle.signal(REDELIVER)

    async def taken() -> bool:
        return len(await builds(handle)) > before

    await eventually(taken)
    return (await builds(handle))[before]


async def moved(handle: Handle, build: str) -> None:
    """A task may still go where the last one went; then all go to `build`."""

    async def taken() -> bool:
        return await next_build(handle) == build

    await eventually(taken)
    assert {await next_build(handle) for _ in range(3)} == {build}


async def test_a_version_gets_nothing_before_its_promotion_and_everything_after(
    client: Client, settings: Settings
) -> None:
    async with working(client, settings, "one"):
        running = await begun(client, settings)
        await asyncio.sleep(QUIET_SECONDS)
        assert await builds(running) == []
        await promoted(settings, "one")
        await running.query(STATE)
        assert await next_build(running) == "one"

        async with working(client, settings, "two"):
            await asyncio.sleep(QUIET_SECONDS)
            assert await next_build(running) == "one"
            assert await next_build(await begun(client, settings)) == "one"
            assert states_of(await worker_versions.look(settings)) == {
                "one": "current",
                "two": "inactive",
            }

            await promoted(settings, "two")
            await moved(running, "two")
            assert await next_build(await begun(client, settings)) == "two"

            await promoted(settings, "one")
            await moved(running, "one")


async def test_a_build_that_nobody_runs_cannot_be_promoted(
    client: Client, settings: Settings
) -> None:
    async with working(client, settings, "one"):
        await promoted(settings, "one")
        with pytest.raises(OperatorError, match="Temporal refuses"):
            await worker_versions.promote(settings, "none")


async def test_without_a_deployment_whoever_polls_works_and_says_what_it_is(
    client: Client, settings: Settings
) -> None:
    plain = settings.model_copy(update={"worker_deployment": None})
    async with working(client, plain, "one"):
        assert await next_build(await begun(client, plain)) == "one"
        found = await worker_versions.look(plain)
        assert (found.pollers[0].build_id, found.versions) == ("one", [])
        with pytest.raises(OperatorError, match="INTEGRATOR_WORKER_DEPLOYMENT"):
            await worker_versions.promote(plain, "one")


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
        await promoted(settings, "one")
        async with working(client, settings, "two"):

            async def polls() -> bool:
                return "two" in states_of(await worker_versions.look(settings))

            await eventually(polls)
            assert "two is the current" in await asyncio.to_thread(integrator, "promote", "two")
            shown = await asyncio.to_thread(integrator, "versions")
            assert [word for word in shown.split() if word in ("current", "draining")]
            assert str(os.getpid()) in shown


def test_a_build_is_known_by_its_code_unless_it_is_named(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert build_id(settings).endswith(f"-{code_fingerprint()}")
    named = settings.model_copy(update={"worker_build_id": "2026-11-23.1"})
    who = read_identity(identity(named))
    assert who is not None
    assert who.process.startswith(f"{os.getpid()}@")
    assert who.build_id == "2026-11-23.1"
    assert build_id(settings).startswith(f"{who.version}-")
    assert read_identity("4711@somewhere") is None


def test_a_name_that_temporal_or_the_identity_could_not_take_is_refused(tmp_path: Path) -> None:
    for name in ("a.b", "a:b", ""):
        with pytest.raises(ValidationError):
            Settings(data_dir=tmp_path, worker_deployment=name)
    with pytest.raises(ValidationError):
        Settings(data_dir=tmp_path, worker_build_id="with a space")
