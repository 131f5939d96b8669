"""A workflow run without a server: activations go in, commands come out, one step at a time.

Payloads go through the real codec and the SDK's own decoding of an activation. Every activity is
answered by a script, and a timer fires when nothing else is left to do.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.api.common.v1 import Payload, Payloads
from temporalio.api.failure.v1 import Failure
from temporalio.bridge.proto.activity_result import ActivityResolution
from temporalio.bridge.proto.workflow_activation import (
    DoUpdate,
    FireTimer,
    InitializeWorkflow,
    NotifyHasPatch,
    QueryWorkflow,
    ResolveActivity,
    SignalWorkflow,
    WorkflowActivation,
    WorkflowActivationJob,
)
from temporalio.bridge.worker import decode_activation
from temporalio.common import Priority, SearchAttributes, TypedSearchAttributes
from temporalio.converter import DataConverter
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails

from integrator.temporal.workflow_sandbox import runner
from workflows.messages import STATE

START = datetime(2026, 1, 15, tzinfo=UTC)
SECOND = timedelta(seconds=1)
ENCODED_FAILURE = "Encoded failure"
RUNNER = runner()

Job = WorkflowActivationJob
Answer = Callable[["PendingActivity"], Any]
"""Returns an activity's result; an exception is its failure, a `Payload` a result as it is."""


class TaskFailed(AssertionError):
    """The workflow task failed: on a server, it would be repeated for ever."""


class NoMetrics:
    """Metric meter that measures nothing."""

    def __getattr__(self, name: str) -> Callable[..., "NoMetrics"]:
        return lambda *_args, **_options: self


@dataclass(frozen=True)
class PendingActivity:
    """Activity that the workflow has scheduled."""

    seq: int
    name: str
    local: bool
    payloads: tuple[Payload, ...]


@dataclass
class Replies:
    """Results of the messages of one activation."""

    rejected: list[str] = field(default_factory=list)
    completed: list[Payload] = field(default_factory=list)
    query_failed: list[str] = field(default_factory=list)
    query_result: list[Payload] = field(default_factory=list)


class Engine:
    """One run of a workflow with encrypted payloads.

    `commands` are the names of all commands so far, `last` those of the last activation.
    """

    def __init__(
        self, cls: type, start: Any, converter: DataConverter, *, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.converter = converter
        self.now = START
        self.commands: list[str] = []
        self.last: list[str] = []
        self.activities: dict[int, PendingActivity] = {}
        self.timers: dict[int, datetime] = {}
        self.result: str | None = None
        self.records: list[bytes] = []
        self.patches: list[str] = []
        self.history: list[WorkflowActivation] = []
        self._loop = loop
        self._updates = 0
        self._definition = workflow._Definition.must_from_class(cls)
        self._instance = loop.run_until_complete(self._create_instance())
        init = InitializeWorkflow(
            workflow_type=self._definition.name or "",
            workflow_id="m/payment/t1",
            arguments=self.encrypt(start),
            randomness_seed=1,
            first_execution_run_id="run-1",
            attempt=1,
        )
        init.start_time.FromDatetime(START)
        self.activate(Job(initialize_workflow=init))

    async def _create_instance(self) -> WorkflowInstance:
        return RUNNER.create_instance(self._details())

    # --- what goes in -------------------------------------------------------------------------

    def activate(self, *jobs: Job) -> Replies:
        """Let the workflow handle jobs; raises `TaskFailed`."""
        activation = WorkflowActivation(run_id="run-1", history_length=10, jobs=jobs)
        activation.timestamp.FromDatetime(self.now)
        self.history.append(activation)
        return self._run(activation)

    def replay(self, activations: Iterable[WorkflowActivation]) -> None:
        """Let the workflow handle activations of another engine again, after its first one."""
        for activation in activations:
            copy = WorkflowActivation()
            copy.CopyFrom(activation)
            copy.is_replaying = True
            self.history.append(activation)
            for job in activation.jobs:
                self.activities.pop(job.resolve_activity.seq, None)
                self.timers.pop(job.fire_timer.seq, None)
            self.now = activation.timestamp.ToDatetime(UTC)
            self._run(copy)

    def signal(self, name: str, *payloads: Payload) -> Replies:
        """Send a signal with these payloads."""
        return self.activate(self.job("signal", name, payloads))

    def update(self, name: str, *payloads: Payload) -> Replies:
        """Send an update with these payloads."""
        return self.activate(self.job("update", name, payloads))

    def query(self, name: str, *payloads: Payload) -> Replies:
        """Send a query with these payloads."""
        return self.activate(self.job("query", name, payloads))

    def job(self, kind: str, name: str, payloads: Sequence[Payload]) -> Job:
        """Return the job of a message for `activate`; a query must be alone in its activation."""
        if kind == "signal":
            signal = SignalWorkflow(signal_name=name, input=payloads, originating_event_id=3)
            return Job(signal_workflow=signal)
        if kind == "query":
            return Job(
                query_workflow=QueryWorkflow(query_id="q", query_type=name, arguments=payloads)
            )
        self._updates += 1
        id = f"update-{self._updates}"
        update = DoUpdate(
            id=id, protocol_instance_id=id, name=name, input=payloads, run_validator=True
        )
        update.meta.identity = "test"
        return Job(do_update=update)

    def state(self) -> bytes:
        """Return the JSON text of the workflow's state."""
        (result,) = self.query(STATE).query_result
        return result.data

    def resolve(self, seq: int, outcome: Any) -> Replies:
        """End an activity: with an exception, with a payload or failure as it is, or a result."""
        pending = self.activities.pop(seq)
        resolution = ActivityResolution()
        if isinstance(outcome, Failure):
            resolution.failed.failure.CopyFrom(outcome)
        elif isinstance(outcome, Exception):
            self._fail(resolution.failed.failure, pending, outcome)
        elif isinstance(outcome, Payload):
            resolution.completed.result.CopyFrom(outcome)
        else:
            resolution.completed.result.CopyFrom(self.encrypt(outcome)[0])
        self.now += SECOND
        job = ResolveActivity(seq=seq, result=resolution, is_local=pending.local)
        return self.activate(Job(resolve_activity=job))

    def fire_next_timer(self) -> Replies:
        """Advance the clock to the next timer."""
        seq = min(self.timers, key=lambda seq: (self.timers[seq], seq))
        self.now = max(self.now, self.timers.pop(seq))
        return self.activate(Job(fire_timer=FireTimer(seq=seq)))

    def step(self, answer: Answer) -> bool:
        """Resolve the oldest activity, local ones first, or else fire a timer.

        Returns False when the workflow has ended.
        """
        if self.result is not None:
            return False
        if self.activities:
            pending = min(self.activities.values(), key=lambda one: (not one.local, one.seq))
            self.resolve(pending.seq, answer(pending))
        else:
            self.fire_next_timer()
        return self.result is None

    def encrypt(self, *values: Any) -> list[Payload]:
        """Return values as encrypted payloads."""
        payloads = self.converter.payload_converter.to_payloads(values)
        return self.encode(payloads)

    def encode(self, payloads: Sequence[Payload]) -> list[Payload]:
        """Return payloads encrypted."""
        codec = self.converter.payload_codec
        assert codec is not None
        return self._loop.run_until_complete(codec.encode(payloads))

    # --- what comes out -----------------------------------------------------------------------

    def _run(self, activation: WorkflowActivation) -> Replies:
        copy = WorkflowActivation()
        copy.CopyFrom(activation)
        decoding = decode_activation(copy, self.converter, False, 3)
        self._loop.run_until_complete(decoding)
        completion = self._instance.activate(copy)
        if completion.HasField("failed"):
            raise TaskFailed(self._text(completion.failed.failure))
        replies, self.last = Replies(), []
        patches: list[str] = []
        for command in completion.successful.commands:
            name = str(command.WhichOneof("variant"))
            self.last.append(name)
            self._apply(name, getattr(command, name), replies)
            if name == "set_patch_marker":
                patches.append(command.set_patch_marker.patch_id)
        self.patches += patches
        if patches and not activation.is_replaying:
            # As the server's worker does: the marker is announced before its task is replayed.
            markers = [Job(notify_has_patch=NotifyHasPatch(patch_id=id)) for id in patches]
            self.history.insert(-1, WorkflowActivation(run_id="run-1", jobs=markers))
            self.history[-2].timestamp.CopyFrom(activation.timestamp)
        self.commands += self.last
        return replies

    def _apply(self, name: str, command: Any, replies: Replies) -> None:
        if name in ("schedule_activity", "schedule_local_activity"):
            self._schedule(command, local=name == "schedule_local_activity")
        elif name == "start_timer":
            self.timers[command.seq] = self.now + command.start_to_fire_timeout.ToTimedelta()
        elif name == "cancel_timer":
            self.timers.pop(command.seq, None)
        elif name in ("update_response", "respond_to_query"):
            self._reply(name, command, replies)
        elif name == "complete_workflow_execution":
            self.result = command.result.data.decode()
        elif name in ("fail_workflow_execution", "cancel_workflow_execution"):
            raise AssertionError(f"the workflow ended: {name}")

    def _schedule(self, command: Any, *, local: bool) -> None:
        arguments = tuple(command.arguments)
        self.activities[command.seq] = PendingActivity(
            command.seq, command.activity_type, local, arguments
        )
        if command.activity_type == "record":
            self.records.append(arguments[0].data)

    def _reply(self, name: str, command: Any, replies: Replies) -> None:
        if name == "update_response":
            if command.HasField("rejected"):
                replies.rejected.append(self._text(command.rejected))
            elif command.HasField("completed"):
                replies.completed.append(command.completed)
        elif command.HasField("failed"):
            replies.query_failed.append(self._text(command.failed))
        else:
            replies.query_result.append(command.succeeded.response)

    def _text(self, failure: Failure) -> str:
        """Return a failure's message, which the converter has moved into its attributes."""
        if failure.message != ENCODED_FAILURE:
            return failure.message
        attributes = self.converter.payload_converter.from_payload(failure.encoded_attributes, dict)
        cause = f" <- {self._text(failure.cause)}" if failure.HasField("cause") else ""
        return f"{attributes['message']}{cause}"

    def _fail(self, failure: Failure, pending: PendingActivity, error: Exception) -> None:
        encoding = self.converter.encode_failure(error, failure.cause)
        self._loop.run_until_complete(encoding)
        failure.message = "Activity task failed"
        failure.activity_failure_info.activity_type.name = pending.name
        failure.activity_failure_info.scheduled_event_id = 5

    def _details(self) -> WorkflowInstanceDetails:
        return WorkflowInstanceDetails(
            payload_converter_factory=self.converter._new_payload_converter,
            failure_converter_class=self.converter.failure_converter_class,
            interceptor_classes=[],
            defn=self._definition,
            info=_info(self._definition.name or ""),
            randomness_seed=1,
            extern_functions={
                "__temporal_get_metric_meter": NoMetrics,
                "__temporal_assert_local_activity_valid": lambda _name: None,
            },
            disable_eager_activity_execution=False,
            worker_level_failure_exception_types=[],
            patch_activation_callback=None,
            last_completion_result=Payloads(),
            last_failure=Failure(),
        )


def _info(workflow_type: str) -> workflow.Info:
    attributes: SearchAttributes = {}
    return workflow.Info(
        attempt=1,
        continued_run_id=None,
        cron_schedule=None,
        execution_timeout=None,
        first_execution_run_id="run-1",
        headers={},
        namespace="default",
        original_execution_run_id="run-1",
        parent=None,
        root=None,
        priority=Priority.default,
        raw_memo={},
        retry_policy=None,
        run_id="run-1",
        run_timeout=None,
        search_attributes=attributes,
        start_time=START,
        task_queue="q",
        task_timeout=timedelta(seconds=10),
        typed_search_attributes=TypedSearchAttributes.empty,
        workflow_id="m/payment/t1",
        workflow_start_time=START,
        workflow_type=workflow_type,
    )
