"""Test worker versions on a real server: who gets tasks, and which versions are deleted."""

import asyncio
import json
import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from temporalio.client import Client

from integrator.admin.errors import OperatorError
from integrator.operations import worker_versions
from integrator.operations.checks.result import Level
from integrator.operations.checks.versions import check_versions
from integrator.operations.worker_versions import Kept, WorkersMissing
from integrator.settings import Settings
from integrator.store.migrate import upgrade
from integrator.temporal.worker_versioning import (
    build_id,
    code_fingerprint,
    identity,
    parse_identity,
)
from tests.support.worker_versions import (
    builds,
    client,
    eventually,
    next_build,
    start_payment,
    states,
    versioned_settings,
    wait_until_moved,
    working,
)
from workflows.messages import STATE

__all__ = ["client"]

IDLE_SECONDS = 1.0
"""An available task is taken within milliseconds."""

NOW = timedelta(0)


@pytest.fixture
async def settings(client: Client, tmp_path: Path) -> Settings:
    settings = versioned_settings(client, tmp_path)
    await upgrade(settings.resolved_database_url)
    return settings


async def ramp_of(settings: Settings) -> dict[str, float]:
    read = await worker_versions.read_versions(settings)
    return {
        version.build_id: version.ramp_percentage
        for version in read.versions
        if version.ramp_percentage is not None
    }


async def findings(client: Client, settings: Settings) -> list[tuple[Level, str]]:
    return [(found.level, found.text) for found in await check_versions(client, settings)]


async def test_a_version_gets_nothing_before_its_promotion_and_everything_after(
    client: Client, settings: Settings
) -> None:
    async with working(client, settings, "one"):
        running = await start_payment(client, settings)
        await asyncio.sleep(IDLE_SECONDS)
        assert await builds(running) == []
        await worker_versions.promote(settings, "one")
        await running.query(STATE)
        assert await next_build(running) == "one"

        async with working(client, settings, "two"):
            await worker_versions.wait_for_workers(settings, "two", timedelta(seconds=20))
            await asyncio.sleep(IDLE_SECONDS)
            assert await next_build(running) == "one"
            assert await next_build(await start_payment(client, settings)) == "one"
            assert await states(settings) == {"one": "current", "two": "inactive"}

            await worker_versions.promote(settings, "two")
            await wait_until_moved(running, "two")
            assert await next_build(await start_payment(client, settings)) == "two"

            await worker_versions.promote(settings, "one")
            await wait_until_moved(running, "one")


async def test_a_promotion_ends_any_ramp_and_may_be_repeated(
    client: Client, settings: Settings
) -> None:
    async with working(client, settings, "one"), working(client, settings, "two"):
        await worker_versions.promote(settings, "one")
        await worker_versions.ramp(settings, "two", 10)
        await worker_versions.ramp(settings, "two", 10)
        await worker_versions.ramp(settings, "two", 50)
        assert await ramp_of(settings) == {"two": 50}

        await worker_versions.promote(settings, "one")  # the upgrade is given up
        assert await ramp_of(settings) == {}
        assert await worker_versions.current_version(settings) == "one"

        await worker_versions.ramp(settings, "two", 50)
        for _ in range(2):
            await worker_versions.promote(settings, "two")
        assert await ramp_of(settings) == {}
        assert await worker_versions.current_version(settings) == "two"
        with pytest.raises(OperatorError, match="two is the current version"):
            await worker_versions.ramp(settings, "two", 10)


async def test_a_full_ramp_takes_running_transactions_to_the_new_version_and_back(
    client: Client, settings: Settings
) -> None:
    async with working(client, settings, "one"), working(client, settings, "two"):
        await worker_versions.promote(settings, "one")
        running = await start_payment(client, settings)
        assert await next_build(running) == "one"
        await worker_versions.ramp(settings, "two", 100)
        await wait_until_moved(running, "two")
        await worker_versions.promote(settings, "one")
        await wait_until_moved(running, "one")


async def test_a_build_without_workers_gets_no_tasks(client: Client, settings: Settings) -> None:
    async with working(client, settings, "one"):
        await worker_versions.promote(settings, "one")
        with pytest.raises(WorkersMissing, match="No worker of build id none polls"):
            await worker_versions.promote(settings, "none", NOW)
        with pytest.raises(WorkersMissing, match="No worker of build id none polls"):
            await worker_versions.ramp(settings, "none", 10, NOW)
        assert await worker_versions.current_version(settings) == "one"


async def test_without_a_deployment_every_polling_worker_gets_tasks(
    client: Client, settings: Settings
) -> None:
    unversioned = settings.model_copy(update={"worker_deployment": None})
    async with working(client, unversioned, "one"):
        assert await next_build(await start_payment(client, unversioned)) == "one"
        read = await worker_versions.read_versions(unversioned)
        poller = read.pollers[0]
        assert (poller.build_id, poller.versioned, read.versions) == ("one", False, [])
        with pytest.raises(OperatorError, match="INTEGRATOR_WORKER_DEPLOYMENT"):
            await worker_versions.promote(unversioned, "one")
        assert await findings(client, unversioned) == []


async def test_pruning_keeps_what_works_or_is_needed_for_a_rollback(
    client: Client, settings: Settings
) -> None:
    for build in ("one", "two"):
        async with working(client, settings, build):
            await worker_versions.promote(settings, build)
    async with working(client, settings, "three"):
        await worker_versions.promote(settings, "three")
        async with working(client, settings, "never"):
            await worker_versions.wait_for_workers(settings, "never", timedelta(seconds=20))
            report = await worker_versions.prune(settings)
            kept = {version.build_id: version.reason for version in report.kept}
            assert kept["three"] == "current"
            assert kept["two"] == "previous, for a rollback"
            assert kept["never"] == "its workers polled within the last minutes"

        deleted = report.deleted
        for _ in range(200):  # the server drains a version in its own time
            if set(await states(settings)) == {"three", "two"}:
                break
            report = await worker_versions.prune(settings)
            deleted.extend(report.deleted)
            await asyncio.sleep(0.5)
        kept = {version.build_id: version.reason for version in report.kept}
        assert report.failed == []
        assert kept == {"three": "current", "two": "previous, for a rollback"}
        assert set(deleted) == {"one", "never"}


async def test_a_refusal_of_the_server_is_reported_with_its_reason(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server may know of a poller that it does not list."""
    monkeypatch.setattr(worker_versions, "_kept_because", lambda *_: None)
    async with working(client, settings, "one"):
        await worker_versions.promote(settings, "one")
        report = await worker_versions.prune(settings)
    [refused] = report.failed
    assert refused == Kept("one", refused.reason)
    assert "cannot be deleted since it is current" in refused.reason


async def test_doctor_reports_missing_promotion_workers_and_a_ramp(
    client: Client, settings: Settings
) -> None:
    assert await findings(client, settings) == []
    async with working(client, settings, "one"), working(client, settings, "two"):
        await worker_versions.wait_for_workers(settings, "one", timedelta(seconds=20))
        [(level, text)] = await findings(client, settings)
        assert (level, "no version is current" in text) == (Level.PROBLEM, True)

        await worker_versions.promote(settings, "one")
        assert await findings(client, settings) == [(Level.OK, "one gets all tasks")]
        await worker_versions.ramp(settings, "two", 10)
        assert await findings(client, settings) == [(Level.WARNING, "two gets 10 %, one the rest")]

        full = settings.model_copy(update={"worker_deployment_max_versions": 2})
        [_, (level, text)] = await findings(client, full)
        assert (level, text.partition(";")[0]) == (Level.WARNING, "Temporal holds 2 of at most 2")
        roomy = settings.model_copy(update={"worker_deployment_max_versions": 3})
        assert len(await findings(client, roomy)) == 1

    async def without_workers() -> bool:
        return (await findings(client, settings))[0][0] is Level.PROBLEM

    await eventually(without_workers, 30)  # until the server forgets the stopped workers


async def test_the_command_line_routes_tasks_and_shows_versions(
    client: Client, settings: Settings
) -> None:
    async def integrator(*arguments: str) -> str:
        env = {
            **os.environ,
            "INTEGRATOR_DATA_DIR": str(settings.data_dir),
            "INTEGRATOR_TEMPORAL_ADDRESS": settings.resolved_temporal_address,
            "INTEGRATOR_TASK_QUEUE": settings.task_queue,
            "INTEGRATOR_WORKER_DEPLOYMENT": str(settings.worker_deployment),
            "INTEGRATOR_WORKER_BUILD_ID": "two",
        }
        command = [sys.executable, "-m", "integrator.cli", "worker", *arguments]
        done = await asyncio.to_thread(
            subprocess.run, command, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    async with working(client, settings, "one"):
        assert await integrator("current") == ""
        await worker_versions.promote(settings, "one")
        async with working(client, settings, "two"):
            assert "Workers of two poll" in await integrator("wait", "two", "--wait", "20")
            assert "tasks of 10 % of" in await integrator("ramp", "two", "10")
            assert "10 %" in await integrator("versions")
            new = (await integrator("build-id")).strip()
            assert f"{new} is the current" in await integrator("promote", new)
            assert await integrator("current") == "two\n"
            assert str(os.getpid()) in await integrator("versions")
            content: dict[str, Any] = json.loads(await integrator("versions", "--json"))
            assert {
                (version["build_id"], version["kept_because"], version["polling"])
                for version in content["versions"]
            } == {("one", "previous, for a rollback", True), ("two", "current", True)}
            assert json.loads(await integrator("prune", "--json"))["deleted"] == []


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
