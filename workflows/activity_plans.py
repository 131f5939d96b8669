"""Every activity's name, types, timeouts and retries, in one place, with the reason of each figure.

Workflows call activities through these plans and never see their code.
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
"""A PSP that has not answered by then is asked again; shorter than the 10 s an API caller waits."""

PSP_ATTEMPT = PSP_HTTP_TIMEOUT + timedelta(seconds=4)
"""The HTTP timeout plus the store's share; a killed worker's call is missed only after it."""

PSP_RETRY = RetryPolicy(
    initial_interval=timedelta(milliseconds=500),  # a hiccup should not cost the caller its answer
    backoff_coefficient=2,
    maximum_interval=timedelta(minutes=2),  # an outage's end is noticed within two minutes
)

STORE_RETRY = RetryPolicy(
    initial_interval=timedelta(milliseconds=50),
    backoff_coefficient=2,
    maximum_interval=timedelta(seconds=1),
    maximum_attempts=4,  # then the regular twin of the activity takes over
)

PATIENT_RETRY = RetryPolicy(
    initial_interval=timedelta(seconds=1),
    backoff_coefficient=2,
    maximum_interval=timedelta(minutes=1),
)

WEBHOOK_HTTP_TIMEOUT = timedelta(seconds=12)
"""Receivers that take longer are treated as down; the field's yardsticks are 10 to 15 s."""

WEBHOOK_BUDGET = timedelta(hours=84)
"""With pauses of at most four hours plus jitter the last attempt comes after 76 hours or more."""

LOOKUP_BUDGET = timedelta(seconds=20)
"""Notifications wait behind a look-up, and the reconciliation schedule repeats a failed one."""


@dataclass(frozen=True)
class ActivityPlan(Generic[Arg, Result]):
    """How one activity is run. `local` ones are idempotent reads and writes of the store."""

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
        budget: timedelta | None = None,
        once: bool = False,
    ) -> Result:
        """Run the activity from a workflow.

        `budget` replaces `schedule_to_close`; with `once` it is attempted a single time.
        """
        if self.local:
            local: Result = await workflow.execute_local_activity(
                self.name,
                arg,
                result_type=self.result,
                start_to_close_timeout=self.start_to_close,
                schedule_to_close_timeout=self.schedule_to_close,
                retry_policy=self.retry,
                summary=summary,
            )
            return local
        regular: Result = await workflow.execute_activity(
            self.name,
            arg,
            result_type=self.result,
            start_to_close_timeout=self.start_to_close,
            schedule_to_close_timeout=budget or self.schedule_to_close,
            retry_policy=replace(self.retry, maximum_attempts=1) if once else self.retry,
            summary=summary,
        )
        return regular


def _psp_write(name: str) -> ActivityPlan[PspCall, PspReply]:
    """Money operations: repeated with the same key for as long as the PSP remembers it.

    The workflow passes the PSP's declared key window as the budget.
    """
    return ActivityPlan(name, PspReply, PSP_ATTEMPT, PSP_RETRY)


def _psp_read(name: str) -> ActivityPlan[PspCall, PspReply]:
    return ActivityPlan(name, PspReply, PSP_ATTEMPT, PSP_RETRY, LOOKUP_BUDGET)


AUTHORIZE = _psp_write("authorize")
VOID = _psp_write("void")
CAPTURE = _psp_write("capture")
CHARGE = _psp_write("charge")
REFUND = _psp_write("refund")
FETCH_AUTHORIZATION = _psp_read("fetch_authorization")
FETCH_PAYMENT = _psp_read("fetch_payment")
FETCH_REFUND = _psp_read("fetch_refund")
CHECK_CREDENTIALS: ActivityPlan[PspCall, CredentialsReply] = ActivityPlan(
    "check_credentials", CredentialsReply, PSP_ATTEMPT, PSP_RETRY, LOOKUP_BUDGET
)

READ_NOTIFICATION: ActivityPlan[NotificationRead, NotificationResult] = ActivityPlan(
    "read_notification", NotificationResult, timedelta(seconds=5), PATIENT_RETRY, local=True
)

RECORD: ActivityPlan[Record, bool] = ActivityPlan(
    # Below the workflow task's own 10 s, so that a slow store does not fail the task.
    "record",
    bool,
    timedelta(seconds=2),
    STORE_RETRY,
    timedelta(seconds=6),
    local=True,
)
RECORD_PATIENTLY: ActivityPlan[Record, bool] = ActivityPlan(
    "record", bool, timedelta(seconds=10), PATIENT_RETRY
)

CLOSE_RESERVATION: ActivityPlan[CloseReservationCall, bool] = ActivityPlan(
    "settle_owner", bool, timedelta(seconds=10), PATIENT_RETRY
)

DELIVER_WEBHOOK: ActivityPlan[WebhookCall, WebhookReply] = ActivityPlan(
    # The activity itself names the pause before each next attempt (growing, jittered, Retry-After).
    "deliver_webhook",
    WebhookReply,
    WEBHOOK_HTTP_TIMEOUT + timedelta(seconds=3),
    PATIENT_RETRY,
    WEBHOOK_BUDGET,
)

RECONCILE_SHARE = timedelta(seconds=20)
"""After this a step of reconciliation reports back and is asked again if there is more to do."""


def _reconciliation(name: str) -> ActivityPlan[ReconcileInput, StepReport]:
    """Each step remembers how far it came, so a repetition goes on where the last one stopped.

    A PSP that stays away is not waited for: the next scheduled run comes soon enough.
    """
    return ActivityPlan(
        name,
        StepReport,
        RECONCILE_SHARE + PSP_ATTEMPT,
        RetryPolicy(
            initial_interval=timedelta(seconds=5),
            backoff_coefficient=2,
            maximum_interval=timedelta(seconds=30),
        ),
        timedelta(minutes=2),
    )


REPAIR_EVENTS = _reconciliation("repair_events")
SWEEP_MOVEMENTS = _reconciliation("sweep_movements")
SAMPLE_FINAL = _reconciliation("sample_final")
