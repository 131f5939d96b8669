"""The worker deployment at the Temporal server: its versions, their pollers, and the routing."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from temporalio.api.deployment.v1 import WorkerDeploymentInfo, WorkerDeploymentVersion
from temporalio.api.enums.v1 import (
    TaskQueueType,
    VersionDrainageStatus,
    WorkerDeploymentVersionStatus,
    WorkerVersioningMode,
)
from temporalio.api.taskqueue.v1 import PollerInfo, TaskQueue
from temporalio.api.workflowservice.v1 import (
    DeleteWorkerDeploymentVersionRequest,
    DescribeTaskQueueRequest,
    DescribeWorkerDeploymentRequest,
    SetWorkerDeploymentCurrentVersionRequest,
    SetWorkerDeploymentRampingVersionRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from integrator.temporal.worker_versioning import parse_identity

POLLED_WITHIN = timedelta(seconds=90)
"""A worker polls at least once a minute; one that has stopped is listed for five minutes."""

_STATUS = "WORKER_DEPLOYMENT_VERSION_STATUS_"
_DRAINAGE = "VERSION_DRAINAGE_STATUS_"


class TaskKind(StrEnum):
    """Kind of the tasks that a poller asks for."""

    WORKFLOW = "workflow"
    ACTIVITY = "activity"


_TYPES = {
    TaskKind.WORKFLOW: TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
    TaskKind.ACTIVITY: TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
}


@dataclass(frozen=True)
class Poll:
    """A worker's last poll of a task queue; `deployment` is None for an unversioned worker."""

    queue: str
    kind: TaskKind
    identity: str
    build_id: str | None
    deployment: str | None
    seen_at: datetime

    def is_recent(self, now: datetime) -> bool:
        """Check that the worker may still be polling."""
        return now - self.seen_at <= POLLED_WITHIN


@dataclass(frozen=True)
class DeploymentVersion:
    """A version: `current`, `ramping`, `draining`, `drained` or `inactive` (never had tasks).

    `drainage` is `draining` or `drained` after it had tasks, else None.
    """

    build_id: str
    status: str
    drainage: str | None
    created_at: datetime
    current_since: datetime | None
    last_current_at: datetime | None


@dataclass(frozen=True)
class Deployment:
    """The deployment with its routing; `current` is None while no version was promoted.

    `conflict_token` makes a change fail if the routing has changed since.
    """

    current: str | None
    ramping: str | None
    ramp_percentage: float
    versions: tuple[DeploymentVersion, ...]
    conflict_token: bytes


async def describe(client: Client, name: str) -> Deployment | None:
    """Return the deployment; None before its first worker has polled. Raises `RPCError`."""
    request = DescribeWorkerDeploymentRequest(namespace=client.namespace, deployment_name=name)
    try:
        response = await client.workflow_service.describe_worker_deployment(request)
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return None
        raise
    info = response.worker_deployment_info
    routing = info.routing_config
    versions = map(_version, info.version_summaries)
    return Deployment(
        current=routing.current_deployment_version.build_id or None,
        ramping=routing.ramping_deployment_version.build_id or None,
        ramp_percentage=routing.ramping_version_percentage,
        versions=tuple(sorted(versions, key=lambda one: one.created_at, reverse=True)),
        conflict_token=response.conflict_token,
    )


async def set_current(
    client: Client, name: str, build_id: str, *, conflict_token: bytes = b""
) -> None:
    """Route all tasks to a version; a ramp of another version stays. Raises `RPCError`."""
    await client.workflow_service.set_worker_deployment_current_version(
        SetWorkerDeploymentCurrentVersionRequest(
            namespace=client.namespace,
            deployment_name=name,
            build_id=build_id,
            conflict_token=conflict_token,
            identity=client.identity,
        )
    )


async def set_ramp(client: Client, name: str, build_id: str | None, percentage: float) -> None:
    """Route a percentage of the workflows to a version; None ends a ramp. Raises `RPCError`."""
    await client.workflow_service.set_worker_deployment_ramping_version(
        SetWorkerDeploymentRampingVersionRequest(
            namespace=client.namespace,
            deployment_name=name,
            build_id=build_id or "",
            percentage=percentage,
            identity=client.identity,
        )
    )


async def delete_version(client: Client, name: str, build_id: str) -> None:
    """Delete a version; raises `RPCError` while it drains or its workers were seen."""
    version = WorkerDeploymentVersion(deployment_name=name, build_id=build_id)
    await client.workflow_service.delete_worker_deployment_version(
        DeleteWorkerDeploymentVersionRequest(
            namespace=client.namespace, deployment_version=version, identity=client.identity
        )
    )


async def read_polls(client: Client, queues: Iterable[str]) -> list[Poll]:
    """Return the pollers that the server lists for the queues; it may omit some of many."""
    found = await asyncio.gather(
        *(_polls(client, queue, kind) for queue in queues for kind in TaskKind)
    )
    return [poll for polls in found for poll in polls]


async def _polls(client: Client, queue: str, kind: TaskKind) -> list[Poll]:
    request = DescribeTaskQueueRequest(
        namespace=client.namespace,
        task_queue=TaskQueue(name=queue),
        task_queue_type=_TYPES[kind],
    )
    response = await client.workflow_service.describe_task_queue(request)
    return [_poll(queue, kind, poller) for poller in response.pollers]


def _poll(queue: str, kind: TaskKind, poller: PollerInfo) -> Poll:
    options = poller.deployment_options
    versioned = options.worker_versioning_mode == (
        WorkerVersioningMode.WORKER_VERSIONING_MODE_VERSIONED
    )
    parsed = parse_identity(poller.identity)
    return Poll(
        queue=queue,
        kind=kind,
        identity=poller.identity,
        build_id=options.build_id or (parsed.build_id if parsed else None),
        deployment=options.deployment_name if versioned else None,
        seen_at=_utc(poller.last_access_time),
    )


def _enum_name(kind: Any, value: int, prefix: str) -> str:
    """Return the name in lower case; the number of a value that only a newer server knows."""
    name = kind.Name(value) if value in kind.values() else str(value)
    return str(name).removeprefix(prefix).lower()


def _version(summary: WorkerDeploymentInfo.WorkerDeploymentVersionSummary) -> DeploymentVersion:
    drainage = _enum_name(VersionDrainageStatus, summary.drainage_info.status, _DRAINAGE)
    return DeploymentVersion(
        build_id=summary.deployment_version.build_id,
        status=_enum_name(WorkerDeploymentVersionStatus, summary.status, _STATUS),
        drainage=drainage if drainage != "unspecified" else None,
        created_at=_utc(summary.create_time),
        current_since=_time(summary, "current_since_time"),
        # Servers before 1.30 report only when a version was last current or ramping.
        last_current_at=_time(summary, "last_current_time")
        or _time(summary, "last_deactivation_time"),
    )


def _time(
    summary: WorkerDeploymentInfo.WorkerDeploymentVersionSummary, field: str
) -> datetime | None:
    return _utc(getattr(summary, field)) if summary.HasField(field) else None  # type: ignore[arg-type]


def _utc(at: Timestamp) -> datetime:
    return at.ToDatetime(UTC)
