"""Versions of the worker: read pollers and versions, route tasks, delete drained versions.

Without a configured deployment there are no versions to route to; pollers are still listed.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from temporalio.client import Client
from temporalio.service import RPCError

from integrator.admin.errors import OperatorError
from integrator.settings import PREFIX, Settings
from integrator.temporal import worker_deployment
from integrator.temporal.client import connect
from integrator.temporal.worker_deployment import Deployment, DeploymentVersion, Poll, TaskKind

POLL_INTERVAL = timedelta(milliseconds=500)
DEFAULT_WAIT = timedelta(seconds=30)


@dataclass(frozen=True)
class Poller:
    """A worker that polls for tasks; `build_id` None if its identity does not contain one.

    `polls` are its task queues with the kind of task: `integrator workflow`.
    """

    identity: str
    build_id: str | None
    versioned: bool
    polls: list[str]
    seen_at: datetime


@dataclass(frozen=True)
class Version:
    """A version of the deployment: `current`, `ramping`, `draining`, `drained` or `inactive`.

    `kept_because` is the reason why `prune` keeps it, None if it deletes it.
    """

    build_id: str
    status: str
    drainage: str | None
    ramp_percentage: float | None
    created_at: datetime
    current_since: datetime | None
    polling: bool
    kept_because: str | None


@dataclass(frozen=True)
class WorkerVersions:
    """Pollers, newest first, and versions, if a deployment is configured; and what a worker polls.

    With several workers on one task queue, the server may temporarily omit some.
    """

    pollers: list[Poller]
    versions: list[Version]
    queues: list[str]


@dataclass(frozen=True)
class Kept:
    """A version that was not deleted, and why."""

    build_id: str
    reason: str


@dataclass(frozen=True)
class PruneReport:
    """Deleted and kept versions; `failed` of the kept ones should have been deleted."""

    deleted: list[str]
    kept: list[Kept]
    failed: list[Kept]


class WorkersMissing(OperatorError):
    """Workers of a version do not poll all task queues."""


class VersionRouter:
    """Reads and changes the versions of the configured deployment."""

    def __init__(self, client: Client, settings: Settings, deployment: str) -> None:
        self._client = client
        self._queues = (settings.task_queue, settings.reconcile_queue)
        self._name = deployment

    async def read(self) -> tuple[Deployment | None, list[Poll]]:
        """Read the deployment, None before its first worker has polled, and all pollers."""
        return await asyncio.gather(
            worker_deployment.describe(self._client, self._name),
            worker_deployment.read_polls(self._client, self._queues),
        )

    async def wait(self, build_id: str, limit: timedelta) -> None:
        """Wait until workers of the build id poll all task queues; raises `WorkersMissing`."""
        deadline = time.monotonic() + limit.total_seconds()
        while True:
            try:
                await self.require_workers(build_id)
                return
            except WorkersMissing:
                if time.monotonic() >= deadline:
                    raise
            await asyncio.sleep(POLL_INTERVAL.total_seconds())

    async def require_workers(self, build_id: str) -> None:
        """Check that workers of the build id poll all task queues; raises `WorkersMissing`."""
        deployment, polls = await self.read()
        known = deployment is not None and any(
            version.build_id == build_id for version in deployment.versions
        )
        found = polled_by(polls, self._name, build_id) if known else set()
        missing = [name for name in self._expected() if name not in found]
        if missing:
            raise WorkersMissing(
                f"No worker of build id {build_id} polls for {', '.join(missing)}. Start "
                "workers of this version; `integrator worker versions` shows those that poll."
            )

    def _expected(self) -> list[str]:
        return _expected_polls(self._queues)

    async def promote(self, build_id: str) -> None:
        """Route all tasks to the version, and end a ramp."""
        deployment = await self._require()
        if deployment.current != build_id:
            await worker_deployment.set_current(self._client, self._name, build_id)
            deployment = await self._require()
        if deployment.ramping is not None:
            await worker_deployment.set_ramp(self._client, self._name, None, 0)

    async def ramp(self, build_id: str, percentage: float) -> None:
        """Route a percentage of the workflows to the version; raises `OperatorError`."""
        deployment = await self._require()
        if deployment.current == build_id:
            raise OperatorError(
                f"{build_id} is the current version and gets all tasks. To give a part of them to "
                "another version, ramp that one."
            )
        if (deployment.ramping, deployment.ramp_percentage) != (build_id, percentage):
            await worker_deployment.set_ramp(self._client, self._name, build_id, percentage)

    async def current(self) -> str | None:
        """Return the build id that gets the tasks; None before the first promotion."""
        deployment = await worker_deployment.describe(self._client, self._name)
        return deployment.current if deployment is not None else None

    async def prune(self) -> PruneReport:
        """Delete the versions that `kept_because` gives no reason for."""
        deployment, polls = await self.read()
        report = PruneReport([], [], [])
        for version in deployment.versions if deployment is not None else ():
            reason = _kept_because(version, deployment, polls, self._name)
            if reason is not None:
                report.kept.append(Kept(version.build_id, reason))
                continue
            try:
                await worker_deployment.delete_version(self._client, self._name, version.build_id)
            except RPCError as error:
                report.failed.append(Kept(version.build_id, f"Temporal refuses: {error.message}"))
            else:
                report.deleted.append(version.build_id)
        return report

    def versions(self, deployment: Deployment | None, polls: list[Poll]) -> list[Version]:
        """Return the versions with what their pollers and the routing say about them."""
        if deployment is None:
            return []
        return [
            Version(
                build_id=version.build_id,
                status=version.status,
                drainage=version.drainage,
                ramp_percentage=(
                    deployment.ramp_percentage if version.build_id == deployment.ramping else None
                ),
                created_at=version.created_at,
                current_since=version.current_since,
                polling=not set(self._expected()) - polled_by(polls, self._name, version.build_id),
                kept_because=_kept_because(version, deployment, polls, self._name),
            )
            for version in deployment.versions
        ]

    async def _require(self) -> Deployment:
        deployment = await worker_deployment.describe(self._client, self._name)
        if deployment is None:
            raise OperatorError(
                f"Temporal does not know the deployment {self._name}: no worker with "
                f"{PREFIX}WORKER_DEPLOYMENT={self._name} has polled yet."
            )
        return deployment


def polled_by(polls: list[Poll], deployment: str, build_id: str) -> set[str]:
    """Return what the workers of a version have polled recently, as `Poller.polls` names it."""
    now = datetime.now(UTC)
    return {
        _poll_name(poll.queue, poll.kind)
        for poll in polls
        if (poll.deployment, poll.build_id) == (deployment, build_id) and poll.is_recent(now)
    }


def previous_version(deployment: Deployment) -> str | None:
    """Return the build id that was current before the current one: a rollback returns to it."""
    former = [
        (version.last_current_at, version.build_id)
        for version in deployment.versions
        if version.last_current_at is not None and version.build_id != deployment.current
    ]
    return max(former)[1] if former else None


def _kept_because(
    version: DeploymentVersion, deployment: Deployment | None, polls: list[Poll], name: str
) -> str | None:
    if version.status in ("current", "ramping"):
        return version.status
    if deployment is not None and version.build_id == previous_version(deployment):
        return "previous, for a rollback"
    if version.drainage == "draining":
        return "draining"
    if any((poll.deployment, poll.build_id) == (name, version.build_id) for poll in polls):
        return "its workers polled within the last minutes"
    return None


def _expected_polls(queues: tuple[str, ...]) -> list[str]:
    return sorted(_poll_name(queue, kind) for queue in queues for kind in TaskKind)


def _poll_name(queue: str, kind: TaskKind) -> str:
    return f"{queue} {kind}"


async def read_versions(settings: Settings) -> WorkerVersions:
    """Read pollers and versions; raises `OperatorError` if Temporal is unavailable."""
    queues = (settings.task_queue, settings.reconcile_queue)
    expected = _expected_polls(queues)
    with _temporal_errors(settings):
        client = await connect(settings, lazy=False)
        if settings.worker_deployment is None:
            return WorkerVersions(
                _pollers(await worker_deployment.read_polls(client, queues)), [], expected
            )
        router = VersionRouter(client, settings, settings.worker_deployment)
        deployment, polls = await router.read()
        return WorkerVersions(_pollers(polls), router.versions(deployment, polls), expected)


async def promote(settings: Settings, build_id: str, wait: timedelta = DEFAULT_WAIT) -> None:
    """Route all tasks, also of running transactions, to the workers of this build id.

    A running ramp ends. Waits until these workers poll all task queues. Raises `OperatorError` if
    no deployment is configured or no worker of that build id polls in time.
    """
    async with _open_router(settings) as router:
        await router.wait(build_id, wait)
        await router.promote(build_id)


async def ramp(
    settings: Settings, build_id: str, percentage: float, wait: timedelta = DEFAULT_WAIT
) -> None:
    """Route a percentage of the workflows to this build id; raises as `promote`."""
    async with _open_router(settings) as router:
        await router.wait(build_id, wait)
        await router.ramp(build_id, percentage)


async def wait_for_workers(settings: Settings, build_id: str, wait: timedelta) -> None:
    """Wait until workers of this build id poll all task queues; raises as `promote`."""
    async with _open_router(settings) as router:
        await router.wait(build_id, wait)


async def current_version(settings: Settings) -> str | None:
    """Return the current build id, None before the first promotion; raises as `promote`."""
    async with _open_router(settings) as router:
        return await router.current()


async def prune(settings: Settings) -> PruneReport:
    """Delete versions that are drained and have no workers; raises as `promote`."""
    async with _open_router(settings) as router:
        return await router.prune()


def _pollers(polls: list[Poll]) -> list[Poller]:
    by_worker: dict[str, list[Poll]] = {}
    for poll in polls:
        by_worker.setdefault(poll.identity, []).append(poll)
    pollers = [
        Poller(
            identity=identity,
            build_id=own[0].build_id,
            versioned=own[0].deployment is not None,
            polls=sorted({_poll_name(poll.queue, poll.kind) for poll in own}),
            seen_at=max(poll.seen_at for poll in own),
        )
        for identity, own in by_worker.items()
    ]
    return sorted(pollers, key=lambda poller: poller.seen_at, reverse=True)


@asynccontextmanager
async def _open_router(settings: Settings) -> AsyncIterator[VersionRouter]:
    if settings.worker_deployment is None:
        raise OperatorError(f"No deployment is configured: set {PREFIX}WORKER_DEPLOYMENT.")
    with _temporal_errors(settings):
        client = await connect(settings, lazy=False)
        yield VersionRouter(client, settings, settings.worker_deployment)


@contextmanager
def _temporal_errors(settings: Settings) -> Iterator[None]:
    """Turn Temporal's errors into `OperatorError`."""
    try:
        yield
    except RPCError as error:
        raise OperatorError(f"Temporal rejected the request: {error.message}") from error
    except RuntimeError as error:
        raise OperatorError(
            f"Temporal at {settings.resolved_temporal_address} is unreachable."
        ) from error
