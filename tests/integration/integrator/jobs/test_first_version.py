"""Test on a real server when a starting worker promotes its own version."""

import asyncio
import logging
from pathlib import Path

import pytest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from integrator.jobs.first_version import FirstVersion
from integrator.operations import worker_versions
from integrator.settings import Settings
from integrator.store.migrate import upgrade
from integrator.temporal import worker_deployment
from tests.support.worker_versions import (
    build,
    client,
    eventually,
    next_build,
    start_payment,
    states,
    versioned_settings,
    wait_until_moved,
    working,
)

__all__ = ["client"]


@pytest.fixture
async def settings(client: Client, tmp_path: Path) -> Settings:
    settings = versioned_settings(client, tmp_path)
    await upgrade(settings.resolved_database_url)
    return settings


async def promote_first(client: Client, settings: Settings, build_id: str) -> None:
    await asyncio.wait_for(FirstVersion(client, build(settings, build_id)).run(), 30)


async def test_the_first_version_promotes_itself_and_no_later_one(
    client: Client, settings: Settings
) -> None:
    async with working(client, settings, "one"):
        await promote_first(client, settings, "one")
        assert await states(settings) == {"one": "current"}
        async with working(client, settings, "two"):
            await promote_first(client, settings, "two")
            await promote_first(client, settings, "one")
            assert await worker_versions.current_version(settings) == "one"


async def test_of_several_replicas_and_versions_one_promotes(
    client: Client, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "integrator.jobs.first_version")
    # A client takes one worker of a version and task queue.
    replica = await Client.connect(settings.resolved_temporal_address)
    async with (
        working(client, settings, "one"),
        working(replica, settings, "one"),
        working(client, settings, "two"),
    ):
        builds = ("one", "one", "two")
        await asyncio.gather(*(promote_first(client, settings, build) for build in builds))
        assert list((await states(settings)).values()).count("current") == 1
        current = await worker_versions.current_version(settings)
    promoted = [record.args for record in caplog.records if "promoted" in record.message]
    # Replicas of the version that is current already may both succeed.
    assert {arguments[0] for arguments in promoted if isinstance(arguments, tuple)} == {current}


async def test_a_change_in_between_is_not_overwritten(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An operator promotes another version after this worker has read the deployment."""
    read_polls = worker_deployment.read_polls
    assert settings.worker_deployment is not None

    async with working(client, settings, "one"), working(client, settings, "two"):
        for name in ("one", "two"):
            await worker_versions.VersionRouter(client, settings, settings.worker_deployment).wait(
                name, worker_versions.DEFAULT_WAIT
            )

        async def read_then_promoted(*arguments: object) -> list[worker_deployment.Poll]:
            monkeypatch.undo()
            polls = await read_polls(*arguments)  # type: ignore[arg-type]
            await worker_versions.promote(settings, "two")
            return polls

        monkeypatch.setattr(worker_deployment, "read_polls", read_then_promoted)
        job = FirstVersion(client, build(settings, "one"))
        assert not await job.check(settings.worker_deployment)
        assert await job.check(settings.worker_deployment)
        assert await worker_versions.current_version(settings) == "two"


async def test_unversioned_workers_keep_their_work_until_they_stop(
    client: Client, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    unversioned = settings.model_copy(update={"worker_deployment": None})
    async with working(client, settings, "new"):
        async with working(client, unversioned, "old"):
            job = asyncio.create_task(FirstVersion(client, build(settings, "new")).run())

            async def reminded() -> bool:
                return "integrator worker promote new" in caplog.text

            await eventually(reminded)
            assert "workers outside this deployment were at work" in caplog.text
            assert await worker_versions.current_version(settings) is None
        await asyncio.wait_for(job, 60)
        assert await worker_versions.current_version(settings) == "new"


async def test_another_deployment_keeps_its_work_until_a_promotion(
    client: Client, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """The last resort when no version can be added to the deployment."""
    renamed = settings.model_copy(update={"worker_deployment": f"{settings.worker_deployment}-2"})
    assert renamed.worker_deployment is not None
    async with working(client, settings, "one"), working(client, renamed, "two"):
        await worker_versions.promote(settings, "one")
        running = await start_payment(client, settings)
        assert await next_build(running) == "one"
        await worker_versions.wait_for_workers(renamed, "two", worker_versions.DEFAULT_WAIT)
        job = FirstVersion(client, build(renamed, "two"))
        assert not await job.check(renamed.worker_deployment)
        assert "workers outside this deployment were at work" in caplog.text
        assert await next_build(running) == "one"
        await worker_versions.promote(renamed, "two")
        await wait_until_moved(running, "two")
        assert await next_build(await start_payment(client, settings)) == "two"


async def test_a_ramp_leaves_the_decision_to_the_operator(
    client: Client, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    assert settings.worker_deployment is not None
    async with working(client, settings, "one"):
        await worker_versions.ramp(settings, "one", 10)
        job = FirstVersion(client, build(settings, "one"))
        assert not await job.check(settings.worker_deployment)
        assert "version one is ramping, none is current" in caplog.text
        assert await worker_versions.current_version(settings) is None


async def test_a_rejection_is_logged_and_the_check_repeated(
    client: Client,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def rejected(*_: object, **__: object) -> None:
        monkeypatch.undo()
        raise RPCError("no permission", RPCStatusCode.PERMISSION_DENIED, b"")

    async with working(client, settings, "one"):
        monkeypatch.setattr(worker_deployment, "set_current", rejected)
        await promote_first(client, settings, "one")
        assert "Temporal rejected the request: no permission" in caplog.text
        assert await worker_versions.current_version(settings) == "one"


async def test_without_a_deployment_nothing_is_promoted(client: Client, tmp_path: Path) -> None:
    settings = versioned_settings(client, tmp_path).model_copy(update={"worker_deployment": None})
    await asyncio.wait_for(FirstVersion(client, settings).run(), 1)
