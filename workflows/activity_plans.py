"""Names, types, timeouts and retry policies of all activities, with the reason of each value.

Workflows call activities through these plans and never import their code.
"""

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Generic, TypeVar

from pydantic import BaseModel
from temporalio import workflow
from temporalio.common import RetryPolicy

from workflows.messages import (
    CloseReservationCall,
    CredentialsReply,
    NotificationRead,
    NotificationResult,
    PspCall,
    PspReply,
    ReconcileInput,
    Record,
    StepReport,
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
    maximum_interval=timedelta(minutes=2),  # the end of an outage is noticed within two minutes
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


@dataclass(frozen=True)
class ActivityPlan(Generic[Arg, Result]):
    """Options of one activity; `local` ones are idempotent reads and writes of the store."""

    name: str
    result: type[Result]
    start_to_close: timedelta
    retry: RetryPolicy
    schedule_to_close: timedelta | None = None
    local: bool = False

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
        result: Result = await workflow.execute_activity(
            self.name,
            arg,
            result_type=self.result,
            start_to_close_timeout=self.start_to_close,
            schedule_to_close_timeout=schedule_to_close or self.schedule_to_close,
            retry_policy=replace(self.retry, maximum_attempts=1) if once else self.retry,
            summary=summary,
        )
        return result


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

RECORD: ActivityPlan[Record, bool] = ActivityPlan(
    # Below the 10 s of a workflow task, so that a slow store does not fail the task.
    "record",
    bool,
    timedelta(seconds=2),
    STORE_RETRY,
    timedelta(seconds=6),
    local=True,
)
RECORD_FALLBACK: ActivityPlan[Record, bool] = ActivityPlan(
    "record", bool, timedelta(seconds=10), UNLIMITED_RETRY
)

CLOSE_RESERVATION: ActivityPlan[CloseReservationCall, bool] = ActivityPlan(
    "settle_owner", bool, timedelta(seconds=10), UNLIMITED_RETRY
)

DELIVER_WEBHOOK: ActivityPlan[WebhookCall, WebhookReply] = ActivityPlan(
    # The activity itself sets the delay before the next attempt (growing, jittered, Retry-After).
    "deliver_webhook",
    WebhookReply,
    WEBHOOK_HTTP_TIMEOUT + timedelta(seconds=3),
    UNLIMITED_RETRY,
    WEBHOOK_RETRY_WINDOW,
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
