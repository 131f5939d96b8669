"""The versions of the worker: which code polls, which one gets the work, and giving it to another.

Without a configured deployment there are no versions to promote; who polls is told all the same.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.deployment.v1 import WorkerDeploymentInfo
from temporalio.api.enums.v1 import TaskQueueType, WorkerDeploymentVersionStatus
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeTaskQueueRequest,
    DescribeWorkerDeploymentRequest,
    SetWorkerDeploymentCurrentVersionRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from integrator.admin.errors import OperatorError
from integrator.settings import PREFIX, Settings
from integrator.temporal.client import connect
from integrator.temporal.worker_versioning import read_identity

_STATUS = "WORKER_DEPLOYMENT_VERSION_STATUS_"


@dataclass(frozen=True)
class Poller:
    """A worker that asks for tasks; `build_id` None for one that does not tell."""

    identity: str
    build_id: str | None
    seen_at: datetime


@dataclass(frozen=True)
class Version:
    """A version of the deployment: `current`, `ramping`, `draining`, `drained` or `inactive`."""

    build_id: str
    status: str
    created_at: datetime
    current_since: datetime | None


@dataclass(frozen=True)
class Found:
    """Who polls, newest first, and the versions, if a deployment is configured.

    Of several workers on one task queue the server may leave some out for a while.
    """

    pollers: list[Poller]
    versions: list[Version]


async def look(settings: Settings) -> Found:
    """Raises `OperatorError` when Temporal cannot be asked."""
    with _plain(settings):
        client = await connect(settings, lazy=False)
        return Found(await _pollers(client, settings), await _versions(client, settings))


async def promote(settings: Settings, build_id: str) -> None:
    """Have all tasks, also those of running transactions, go to the workers of this build id.

    Raises `OperatorError`: no deployment is configured, or no worker of that build id polls all
    task queues.
    """
    deployment = settings.worker_deployment
    if deployment is None:
        raise OperatorError(f"No deployment is configured: set {PREFIX}WORKER_DEPLOYMENT.")
    with _plain(settings):
        client = await connect(settings, lazy=False)
        await client.workflow_service.set_worker_deployment_current_version(
            SetWorkerDeploymentCurrentVersionRequest(
                namespace=client.namespace,
                deployment_name=deployment,
                build_id=build_id,
                identity=client.identity,
            )
        )


async def _pollers(client: Client, settings: Settings) -> list[Poller]:
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=settings.task_queue),
        task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    )
    answer = await client.workflow_service.describe_task_queue(request)
    found = []
    for poller in answer.pollers:
        known = read_identity(poller.identity)
        build_id = known.build_id if known else None
        found.append(Poller(poller.identity, build_id, _utc(poller.last_access_time)))
    return sorted(found, key=lambda poller: poller.seen_at, reverse=True)


async def _versions(client: Client, settings: Settings) -> list[Version]:
    """Newest first; none before a worker of the deployment has polled for the first time."""
    if settings.worker_deployment is None:
        return []
    request = DescribeWorkerDeploymentRequest(
        namespace=client.namespace, deployment_name=settings.worker_deployment
    )
    try:
        answer = await client.workflow_service.describe_worker_deployment(request)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return []
        raise
    found = [_version(summary) for summary in answer.worker_deployment_info.version_summaries]
    return sorted(found, key=lambda version: version.created_at, reverse=True)


def _version(summary: WorkerDeploymentInfo.WorkerDeploymentVersionSummary) -> Version:
    status = WorkerDeploymentVersionStatus.Name(summary.status).removeprefix(_STATUS).lower()
    return Version(
        build_id=summary.deployment_version.build_id,
        status=status,
        created_at=_utc(summary.create_time),
        current_since=(
            _utc(summary.current_since_time) if summary.HasField("current_since_time") else None
        ),
    )


def _utc(at: Timestamp) -> datetime:
    return at.ToDatetime(UTC)


@contextmanager
def _plain(settings: Settings) -> Iterator[None]:
    """What Temporal says, as an operator can act on it."""
    try:
        yield
    except RPCError as error:
        raise OperatorError(f"Temporal refuses: {error.message}") from error
    except RuntimeError as error:
        raise OperatorError(
            f"Temporal at {settings.resolved_temporal_address} is not reachable."
        ) from error
