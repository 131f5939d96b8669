"""Names, types, timeouts and retry policies of all activities, with the reason of each value.

Workflows call activities through these plans and never import their code.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from pydantic import BaseModel
from temporalio import workflow
from temporalio.common import RawValue, RetryPolicy
from temporalio.exceptions import ActivityError, ApplicationError
from temporalio.exceptions import TimeoutError as ActivityTimeout

from integrator import sealing
from workflows.messages import (
    CloseReservationCall,
    CredentialsReply,
    NotificationRead,
    NotificationResult,
    PspCall,
    PspReply,
    ReadStored,
    ReconcileInput,
    Record,
    RecordReply,
    StepReport,
    StoredState,
    WebhookCall,
    WebhookReply,
)

Arg = TypeVar("Arg", bound=BaseModel)
Result = TypeVar("Result")

PSP_HTTP_TIMEOUT = timedelta(seconds=8)
"""After this a call is repeated; shorter than the 10 s that an API caller waits."""

PSP_ATTEMPT_TIMEOUT = PSP_HTTP_TIMEOUT + timedelta(seconds=4)
"""The HTTP timeout plus time for the store; a killed worker's call is noticed only after it."""

PSP_RETRY = RetryPolicy(
    initial_interval=timedelta(
        milliseconds=500
    ),  # a short failure should not cost the caller its response
    backoff_coefficient=2,
    maximum_interval=timedelta(seconds=30),  # the end of an outage is noticed within that time
)

STORE_RETRY = RetryPolicy(
    initial_interval=timedelta(milliseconds=50),
    backoff_coefficient=2,
    maximum_interval=timedelta(seconds=1),
    maximum_attempts=4,  # then the regular activity of the same name takes over
)

UNLIMITED_RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    backoff_coefficient=2,
    maximum_interval=timedelta(minutes=1),
)

WEBHOOK_HTTP_TIMEOUT = timedelta(seconds=12)
"""Receivers that take longer count as down; 10 to 15 s are common among PSPs."""

WEBHOOK_RETRY_WINDOW = timedelta(hours=84)
"""With pauses of at most four hours plus jitter the last attempt comes after 76 hours or more."""

LOOKUP_TIMEOUT = timedelta(seconds=20)
"""A look-up is kept short: the lookup schedule repeats a failed one."""


UNSEALED_PAUSE = timedelta(seconds=10)
MAX_UNSEALED_PAUSE = timedelta(hours=1)
"""Pauses before an activity is executed again that was completed or failed from outside."""

UNSEALED_IS_NO_EVIDENCE = "unsealed-result-is-no-evidence"
"""Patch: histories from before it used such a result, and continue with it in a replay."""


@dataclass(frozen=True)
class ActivityPlan(Generic[Arg, Result]):
    """Options of one activity; `local` ones are idempotent reads and writes of the store.

    Only a result that a worker sealed counts. After another one, as by `temporal activity complete`
    or `fail`, the outcome of a PSP call is unknown; an activity that has to succeed (`repeated`) is
    executed again.
    """

    name: str
    result: type[Result]
    start_to_close: timedelta
    retry: RetryPolicy
    schedule_to_close: timedelta | None = None
    local: bool = False
    repeated: bool = False

    async def __call__(
        self,
        arg: Arg,
        *,
        summary: str | None = None,
        schedule_to_close: timedelta | None = None,
        once: bool = False,
    ) -> Result:
        """Run the activity from a workflow.

        `schedule_to_close` replaces the plan's own; with `once` there is a single attempt.
        """
        if self.local:
            local_result: Result = await workflow.execute_local_activity(
                self.name,
                arg,
                result_type=self.result,
                start_to_close_timeout=self.start_to_close,
                schedule_to_close_timeout=self.schedule_to_close,
                retry_policy=self.retry,
                summary=summary,
            )
            return local_result
        limit = schedule_to_close or self.schedule_to_close
        if not self.repeated:
            return await self._execute(arg, summary, limit, once=once)
        return await self._repeat_until_sealed(arg, summary, limit)

    async def _execute(
        self, arg: Arg, summary: str | None, limit: timedelta | None, *, once: bool = False
    ) -> Result:
        """Execute a regular activity; a result that no worker sealed raises `ActivityError`."""
        raw: RawValue | None = await workflow.execute_activity(
            self.name,
            arg,
            result_type=RawValue,
            start_to_close_timeout=self.start_to_close,
            schedule_to_close_timeout=limit,
            retry_policy=replace(self.retry, maximum_attempts=1) if once else self.retry,
            summary=summary,
        )
        converter = workflow.payload_converter()
        is_evidence = not sealing.seals_required(converter) or (
            raw is not None and sealing.is_sealed(raw.payload)
        )
        if raw is None or (not is_evidence and workflow.patched(UNSEALED_IS_NO_EVIDENCE)):
            raise _unsealed_error(self.name)
        result: Result = converter.from_payload(raw.payload, self.result)
        return result

    async def _repeat_until_sealed(
        self, arg: Arg, summary: str | None, limit: timedelta | None
    ) -> Result:
        """Execute the activity until a worker reports its end, with a growing pause."""
        began, pause = workflow.now(), UNSEALED_PAUSE
        while True:
            remaining = limit and limit - (workflow.now() - began)
            try:
                return await self._execute(arg, summary, remaining)
            except ActivityError as error:
                timed_out = limit is None and isinstance(error.cause, ActivityTimeout)
                if not (timed_out or (_is_unsealed(error) and self._may_repeat(began, limit))):
                    raise
            await workflow.sleep(pause, summary=f"{self.name} was ended from outside")
            pause = min(pause * 2, MAX_UNSEALED_PAUSE)

    def _may_repeat(self, began: datetime, limit: timedelta | None) -> bool:
        """Return whether time is left to execute the activity again.

        Without a limit there always is: no history goes on after such a failure, so that a replay
        needs no patch.
        """
        if limit is None:
            return True
        last_start = began + limit - MAX_UNSEALED_PAUSE - self.start_to_close
        return workflow.now() < last_start and workflow.patched(UNSEALED_IS_NO_EVIDENCE)


def _unsealed_error(name: str) -> ActivityError:
    """Return the error for a result that no worker sealed; its `failure_type` is UNKNOWN."""
    text = f"The result of the activity {name!r} was not reported by a worker."
    error = ActivityError(
        text,
        scheduled_event_id=0,
        started_event_id=0,
        identity="",
        activity_type=name,
        activity_id="",
        retry_state=None,
    )
    error.__cause__ = ApplicationError(text, type=sealing.UNSEALED_FAILURE, non_retryable=True)
    return error


def _is_unsealed(error: ActivityError) -> bool:
    """Return whether an activity was completed or failed by something else than a worker."""
    cause = error.cause
    return isinstance(cause, ApplicationError) and cause.type == sealing.UNSEALED_FAILURE


def _psp_write_plan(name: str) -> ActivityPlan[PspCall, PspReply]:
    """Return the plan of a money operation, repeated with one key while the PSP remembers it.

    The workflow passes the PSP's idempotency window as `schedule_to_close`.
    """
    return ActivityPlan(name, PspReply, PSP_ATTEMPT_TIMEOUT, PSP_RETRY)


def _psp_read_plan(name: str) -> ActivityPlan[PspCall, PspReply]:
    return ActivityPlan(name, PspReply, PSP_ATTEMPT_TIMEOUT, PSP_RETRY, LOOKUP_TIMEOUT)


AUTHORIZE = _psp_write_plan("authorize")
VOID = _psp_write_plan("void")
CAPTURE = _psp_write_plan("capture")
CHARGE = _psp_write_plan("charge")
REFUND = _psp_write_plan("refund")
FETCH_AUTHORIZATION = _psp_read_plan("fetch_authorization")
FETCH_PAYMENT = _psp_read_plan("fetch_payment")
FETCH_REFUND = _psp_read_plan("fetch_refund")
CHECK_CREDENTIALS: ActivityPlan[PspCall, CredentialsReply] = ActivityPlan(
    "check_credentials", CredentialsReply, PSP_ATTEMPT_TIMEOUT, PSP_RETRY, LOOKUP_TIMEOUT
)

READ_NOTIFICATION: ActivityPlan[NotificationRead, NotificationResult] = ActivityPlan(
    "read_notification", NotificationResult, timedelta(seconds=5), UNLIMITED_RETRY, local=True
)

RECORD: ActivityPlan[Record, RecordReply] = ActivityPlan(
    # Below the 10 s of a workflow task, so that a slow store does not fail the task.
    "record",
    RecordReply,
    timedelta(seconds=2),
    STORE_RETRY,
    timedelta(seconds=6),
    local=True,
)
RECORD_FALLBACK: ActivityPlan[Record, RecordReply] = ActivityPlan(
    "record", RecordReply, timedelta(seconds=10), UNLIMITED_RETRY, repeated=True
)

READ_STORED: ActivityPlan[ReadStored, StoredState] = ActivityPlan(
    "read_stored", StoredState, timedelta(seconds=10), UNLIMITED_RETRY, repeated=True
)
READ_STORED_LOCALLY: ActivityPlan[ReadStored, StoredState] = ActivityPlan(
    "read_stored", StoredState, timedelta(seconds=5), UNLIMITED_RETRY, local=True
)
"""Of workflows from before. While a query waits, the result of a local activity reaches its
workflow in a later workflow task than it does in a replay, where a patch that is consulted after it
is then not known yet."""

CLOSE_RESERVATION: ActivityPlan[CloseReservationCall, bool] = ActivityPlan(
    "settle_owner", bool, timedelta(seconds=10), UNLIMITED_RETRY, repeated=True
)

DELIVER_WEBHOOK: ActivityPlan[WebhookCall, WebhookReply] = ActivityPlan(
    # The activity itself sets the delay before the next attempt (growing, jittered, Retry-After).
    "deliver_webhook",
    WebhookReply,
    WEBHOOK_HTTP_TIMEOUT + timedelta(seconds=3),
    UNLIMITED_RETRY,
    WEBHOOK_RETRY_WINDOW,
    repeated=True,
)

RECONCILE_TIME_SLICE = timedelta(seconds=20)
"""After this a step of reconciliation returns, and is called again if there is more to do."""


def _reconciliation_plan(name: str) -> ActivityPlan[ReconcileInput, StepReport]:
    """Return the plan of a step of reconciliation; a repetition goes on where the last one stopped.

    It does not wait for a PSP that stays unavailable: the next scheduled run comes soon enough.
    """
    return ActivityPlan(
        name,
        StepReport,
        RECONCILE_TIME_SLICE + PSP_ATTEMPT_TIMEOUT,
        RetryPolicy(
            initial_interval=timedelta(seconds=5),
            backoff_coefficient=2,
            maximum_interval=timedelta(seconds=30),
        ),
        timedelta(minutes=2),
    )


REPAIR_EVENTS = _reconciliation_plan("repair_events")
SWEEP_MOVEMENTS = _reconciliation_plan("sweep_movements")
SAMPLE_FINAL = _reconciliation_plan("sample_final")
