"""The Temporal server, its namespace, and the workers that poll it."""

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
from integrator.settings import PREFIX, Settings
from integrator.temporal import attribute_registry

ANSWER = timedelta(seconds=3)
SHORTEST_RETENTION = timedelta(days=30)
"""Shorter, and operators would look in vain for what happened last month."""

SEEN = timedelta(seconds=90)
"""A worker polls at least once a minute."""

LARGEST_SKEW = timedelta(seconds=2)
_HOLD = timedelta(seconds=5)
"""Shorter polls are not noted."""


Check = Callable[[Client], Awaitable[CheckResult]]


async def findings(client: Client, settings: Settings) -> AsyncIterator[CheckResult]:
    """All that concerns Temporal; nothing more than the first line while it is away."""
    address = settings.resolved_temporal_address
    try:
        info = await client.workflow_service.get_system_info(GetSystemInfoRequest(), timeout=ANSWER)
    except (RPCError, RuntimeError) as error:
        text = f"the server at {address} cannot be reached ({type(error).__name__})"
        yield problem("Temporal", text, f"Start it, or set {PREFIX}TEMPORAL_ADDRESS right.")
        return
    yield ok("Temporal", f"{address} answers, version {info.server_version or 'not told'}")
    checks = {"namespace": _namespace, "search attributes": _attributes, "clock": _clock}
    for name, check in checks.items():
        yield await _guarded(name, check, client)
    queues = (settings.task_queue, settings.reconcile_queue)
    for result in await asyncio.gather(*(_workers(client, queue) for queue in queues)):
        yield result


async def _guarded(name: str, check: Check, client: Client) -> CheckResult:
    try:
        return await check(client)
    except (RPCError, TimeoutError) as error:
        text = f"cannot be looked at ({type(error).__name__})"
        return problem(name, text, "See whether this client may do it on the server.")


async def _namespace(client: Client) -> CheckResult:
    request = DescribeNamespaceRequest(namespace=client.namespace)
    described = await client.workflow_service.describe_namespace(request, timeout=ANSWER)
    retention = described.config.workflow_execution_retention_ttl.ToTimedelta()
    text = f"{client.namespace} keeps closed workflows for {retention.days} days"
    if retention < SHORTEST_RETENTION:
        days = SHORTEST_RETENTION.days
        return problem("namespace", text, f"Set its retention to {days} days or more.")
    return ok("namespace", text)


async def _attributes(client: Client) -> CheckResult:
    try:
        await attribute_registry.require(client, timedelta(0))
    except attribute_registry.AttributesError as error:
        return problem("search attributes", str(error), "Run `integrator migrate`.")
    return ok("search attributes", "all are registered")


async def _clock(client: Client) -> CheckResult:
    """Ask for work on a queue of our own: the server notes when that was, by its clock."""
    queue = TaskQueue(name=f"doctor-{secrets.token_hex(4)}")
    poll = PollWorkflowTaskQueueRequest(
        namespace=client.namespace, task_queue=queue, identity="doctor"
    )
    before = datetime.now(UTC)
    polling = asyncio.create_task(
        client.workflow_service.poll_workflow_task_queue(poll, timeout=_HOLD)
    )
    pollers: Sequence[PollerInfo] = ()
    deadline = time.monotonic() + ANSWER.total_seconds()
    while not pollers and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
        pollers = await _pollers(client, queue.name, TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW)
    after = datetime.now(UTC)
    polling.cancel()
    with suppress(asyncio.CancelledError, RPCError):
        await polling
    if not pollers:
        return warning("clock", "the server did not tell its time", "Compare the clocks by hand.")
    there = pollers[0].last_access_time.ToDatetime(UTC)
    skew = max(before - there, there - after, timedelta(0))
    text = f"differs from Temporal's by {skew.total_seconds():.1f} s or less"
    if skew > LARGEST_SKEW:
        return problem("clock", f"differs from Temporal's by {skew}", "Let NTP set both clocks.")
    return ok("clock", text)


async def _workers(client: Client, queue: str) -> CheckResult:
    name = f"workers of {queue}"
    advice = "Start a worker: `python -m worker`."
    try:
        kinds = (
            TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
            TaskQueueType.TASK_QUEUE_TYPE_ACTIVITY,
        )
        by_kind = [await _pollers(client, queue, kind) for kind in kinds]
    except RPCError as error:
        return problem(name, f"the queue cannot be looked at ({error.status.name})", advice)
    since = datetime.now(UTC) - SEEN
    alive = [
        {p.identity: p for p in found if p.last_access_time.ToDatetime(UTC) >= since}
        for found in by_kind
    ]
    if not all(alive):
        return problem(name, "nobody has polled the queue in the last 90 seconds", advice)
    who = {identity: _version(poller) for part in alive for identity, poller in part.items()}
    listed = ", ".join(f"{identity} ({version})" for identity, version in sorted(who.items()))
    try:
        answered = await _answered(client, queue)
    except RPCError as error:
        return problem(name, f"workflows cannot be listed ({error.status.name})", advice)
    if not answered:
        text = f"polled it lately, and do not answer now: {listed}"
        return problem(name, text, "See the worker's log; " + advice[0].lower() + advice[1:])
    return ok(name, listed)


async def _pollers(
    client: Client, queue: str, kind: TaskQueueType.ValueType
) -> Sequence[PollerInfo]:
    request = DescribeTaskQueueRequest(
        namespace=client.namespace, task_queue=TaskQueue(name=queue), task_queue_type=kind
    )
    described = await client.workflow_service.describe_task_queue(request, timeout=ANSWER)
    return list(described.pollers)


async def _answered(client: Client, queue: str) -> bool:
    """A killed worker stays among the pollers for minutes: have a workflow of the queue answer.

    True also when there is no workflow yet that could be asked.
    """
    query = f"TaskQueue = '{queue}'"
    async for run in client.list_workflows(query, limit=1):
        handle = client.get_workflow_handle(run.id, run_id=run.run_id)
        try:
            await handle.query("__temporal_workflow_metadata", rpc_timeout=ANSWER)
        except (WorkflowQueryFailedError, WorkflowQueryRejectedError):
            return True  # somebody has tried
        except (RPCError, TimeoutError):
            return False
    return True


def _version(poller: PollerInfo) -> str:
    options, capabilities = poller.deployment_options, poller.worker_version_capabilities
    if options.build_id:
        return f"{options.deployment_name} {options.build_id}"
    return f"build {capabilities.build_id}" if capabilities.build_id else "no build id"
