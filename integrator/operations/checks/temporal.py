"""Checks of the Temporal server, its namespace and the workers that poll it."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import PollerInfo, TaskQueue
from temporalio.api.workflowservice.v1 import (
    DescribeNamespaceRequest,
    DescribeTaskQueueRequest,
    GetSystemInfoRequest,
    PollWorkflowTaskQueueRequest,
)
from temporalio.client import Client, WorkflowQueryFailedError, WorkflowQueryRejectedError
from temporalio.service import RPCError

from integrator.operations.checks.result import CheckResult, ok, problem, warning
from integrator.operations.checks.versions import check_versions
from integrator.settings import PREFIX, Settings
from integrator.temporal import attribute_registry
from integrator.temporal.worker_deployment import POLLED_WITHIN

TIMEOUT = timedelta(seconds=3)
MIN_RETENTION = timedelta(days=30)
"""With less, operators could not inspect last month's workflows."""

MAX_SKEW = timedelta(seconds=2)
_POLL_TIMEOUT = timedelta(seconds=5)
"""The server does not record shorter polls."""


Check = Callable[[Client], Awaitable[CheckResult]]


async def check_temporal(client: Client, settings: Settings) -> AsyncIterator[CheckResult]:
    """Run all checks of Temporal; only the first one if it is unavailable."""
    address = settings.resolved_temporal_address
    try:
        info = await client.workflow_service.get_system_info(
            GetSystemInfoRequest(), timeout=TIMEOUT
        )
    except (RPCError, RuntimeError) as error:
        text = f"the server at {address} is unreachable ({type(error).__name__})"
        yield problem("Temporal", text, f"Start it, or correct {PREFIX}TEMPORAL_ADDRESS.")
        return
    yield ok("Temporal", f"{address} answers, version {info.server_version or 'unknown'}")
    checks = {
        "namespace": _check_namespace,
        "search attributes": _check_attributes,
        "clock": _check_clock,
    }
    for name, check in checks.items():
        yield await _run_check(name, check, client)
    queues = (settings.task_queue, settings.reconcile_queue)
    for result in await asyncio.gather(*(_check_workers(client, queue) for queue in queues)):
        yield result
    for result in await check_versions(client, settings):
        yield result


async def _run_check(name: str, check: Check, client: Client) -> CheckResult:
    try:
        return await check(client)
    except (RPCError, TimeoutError) as error:
        text = f"the check failed ({type(error).__name__})"
        return problem(name, text, "Check this client's permissions on the server.")


async def _check_namespace(client: Client) -> CheckResult:
    request = DescribeNamespaceRequest(namespace=client.namespace)
    response = await client.workflow_service.describe_namespace(request, timeout=TIMEOUT)
    retention = response.config.workflow_execution_retention_ttl.ToTimedelta()
    text = f"{client.namespace} keeps closed workflows for {retention.days} days"
    if retention < MIN_RETENTION:
        days = MIN_RETENTION.days
        return problem("namespace", text, f"Set its retention to {days} days or more.")
    return ok("namespace", text)


async def _check_attributes(client: Client) -> CheckResult:
    try:
        await attribute_registry.require(client, timedelta(0))
    except attribute_registry.SearchAttributesError as error:
        return problem("search attributes", str(error), "Run `integrator migrate`.")
    return ok("search attributes", "all are registered")


async def _check_clock(client: Client) -> CheckResult:
    """Poll a queue of our own: the server records the time by its own clock."""
    queue = TaskQueue(name=f"doctor-{secrets.token_hex(4)}")
    poll = PollWorkflowTaskQueueRequest(
        namespace=client.namespace, task_queue=queue, identity="doctor"
    )
    before = datetime.now(UTC)
    polling = asyncio.create_task(
        client.workflow_service.poll_workflow_task_queue(poll, timeout=_POLL_TIMEOUT)
    )
    pollers: Sequence[PollerInfo] = ()
    deadline = time.monotonic() + TIMEOUT.total_seconds()
    while not pollers and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
        pollers = await _pollers(client, queue.name, TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW)
    after = datetime.now(UTC)
    polling.cancel()
    with suppress(asyncio.CancelledError, RPCError):
        await polling
    if not pollers:
        return warning("clock", "the server returned no time", "Compare the clocks by hand.")
    server_time = pollers[0].last_access_time.ToDatetime(UTC)
    skew = max(before - server_time, server_time - after, timedelta(0))
    text = f"differs from Temporal's by {skew.total_seconds():.1f} s or less"
    if skew > MAX_SKEW:
        return problem("clock", f"differs from Temporal's by {skew}", "Let NTP set both clocks.")
    return ok("clock", text)


async def _check_workers(client: Client, queue: str) -> CheckResult:
    name = f"workers of {queue}"
    advice = "Start a worker: `python -m worker`."
    try:
        kinds = (
            TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
            TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
        )
        by_kind = [await _pollers(client, queue, kind) for kind in kinds]
    except RPCError as error:
        return problem(name, f"the queue cannot be described ({error.status.name})", advice)
    since = datetime.now(UTC) - POLLED_WITHIN
    alive = [
        {p.identity: p for p in pollers if p.last_access_time.ToDatetime(UTC) >= since}
        for pollers in by_kind
    ]
    if not all(alive):
        return problem(name, "no worker has polled the queue in the last 90 seconds", advice)
    versions = {identity: _version(poller) for part in alive for identity, poller in part.items()}
    listed = ", ".join(f"{identity} ({version})" for identity, version in sorted(versions.items()))
    try:
        responding = await _workers_answer(client, queue)
    except RPCError as error:
        return problem(name, f"workflows cannot be listed ({error.status.name})", advice)
    if not responding:
        text = f"polled it recently, but do not respond now: {listed}"
        return problem(name, text, "Check the worker's log; " + advice[0].lower() + advice[1:])
    return ok(name, listed)


async def _pollers(
    client: Client, queue: str, kind: TaskQueueType.ValueType
) -> Sequence[PollerInfo]:
    request = DescribeTaskQueueRequest(
        namespace=client.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind
    )
    response = await client.workflow_service.describe_task_queue(request, timeout=TIMEOUT)
    return list(response.pollers)


async def _workers_answer(client: Client, queue: str) -> bool:
    """Query a workflow of the queue: a killed worker stays among the pollers for minutes.

    True also when there is no workflow to query yet.
    """
    query = f"TaskQueue = '{queue}'"
    async for run in client.list_workflows(query, limit=1):
        handle = client.get_workflow_handle(run.id, run_id=run.run_id)
        try:
            await handle.query("__temporal_workflow_metadata", rpc_timeout=TIMEOUT)
        except (WorkflowQueryFailedError, WorkflowQueryRejectedError):
            return True  # a worker has processed the query
        except (RPCError, TimeoutError):
            return False
    return True


def _version(poller: PollerInfo) -> str:
    options, capabilities = poller.deployment_options, poller.worker_version_capabilities
    if options.build_id:
        return f"{options.deployment_name} {options.build_id}"
    return f"build {capabilities.build_id}" if capabilities.build_id else "no build id"
