"""Versions of the worker: read pollers and deployment versions, promote a version.

Without a configured deployment there are no versions to promote; pollers are still listed.
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
from integrator.temporal.worker_versioning import parse_identity

_STATUS = "WORKER_DEPLOYMENT_VERSION_STATUS_"


@dataclass(frozen=True)
class Poller:
    """A worker that polls for tasks; `build_id` None if its identity does not contain one."""

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
class WorkerVersions:
    """Pollers, newest first, and versions, if a deployment is configured.

    With several workers on one task queue, the server may temporarily omit some.
    """

    pollers: list[Poller]
    versions: list[Version]


async def read_versions(settings: Settings) -> WorkerVersions:
    """Read pollers and versions; raises `OperatorError` if Temporal is unavailable."""
    with _temporal_errors(settings):
        client = await connect(settings, lazy=False)
        return WorkerVersions(await _pollers(client, settings), await _versions(client, settings))


async def promote(settings: Settings, build_id: str) -> None:
    """Route all tasks, also of running transactions, to the workers of this build id.

    Raises `OperatorError` if no deployment is configured or no worker of that build id polls all
    task queues.
    """
    deployment = settings.worker_deployment
    if deployment is None:
        raise OperatorError(f"No deployment is configured: set {PREFIX}WORKER_DEPLOYMENT.")
    with _temporal_errors(settings):
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
    response = await client.workflow_service.describe_task_queue(request)
    pollers = []
    for poller in response.pollers:
        parsed = parse_identity(poller.identity)
        build_id = parsed.build_id if parsed else None
        pollers.append(Poller(poller.identity, build_id, _utc(poller.last_access_time)))
    return sorted(pollers, key=lambda poller: poller.seen_at, reverse=True)


async def _versions(client: Client, settings: Settings) -> list[Version]:
    """Return versions, newest first; none before the deployment's first worker has polled."""
    if settings.worker_deployment is None:
        return []
    request = DescribeWorkerDeploymentRequest(
        namespace=client.namespace, deployment_name=settings.worker_deployment
    )
    try:
        response = await client.workflow_service.describe_worker_deployment(request)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return []
        raise
    versions = [_version(summary) for summary in response.worker_deployment_info.version_summaries]
    return sorted(versions, key=lambda version: version.created_at, reverse=True)


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
