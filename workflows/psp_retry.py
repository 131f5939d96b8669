"""Retries of a money operation within the PSP's idempotency window."""

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError

from integrator.contract.enums import PaymentErrorCode
from integrator.psp.types import Declined
from workflows import activity_plans, timeouts
from workflows.activity_errors import failure_type, is_nothing_sent
from workflows.messages import PspCall, PspFailure, PspReply
from workflows.state import EvidenceKind

IDEMPOTENCY_WINDOW_SHARE = 0.8
"""The window is not used to its end: the PSP's clock and ours differ, and calls take time."""

LAST_ATTEMPT = timedelta(seconds=15)
"""Time that the last attempt with a key needs."""

LOGIN_ERROR = PspReply(
    outcome=Declined(
        code=PaymentErrorCode.LoginError, message="The PSP rejects the merchant's credentials."
    ),
    evidence=EvidenceKind.ANSWER,
)


def usable_window(seconds: int) -> timedelta:
    """Return how long a key is used that the PSP remembers for so many seconds."""
    longest = timeouts.MAX_TIMER.total_seconds()
    return timedelta(seconds=min(seconds, longest) * IDEMPOTENCY_WINDOW_SHARE)


def decline_unsent(code: PaymentErrorCode, message: str) -> PspReply:
    """Return a decline that was decided before anything was sent."""
    return PspReply(outcome=Declined(code=code, message=message), evidence=EvidenceKind.NOT_SENT)


async def send_until_known(
    plan: activity_plans.ActivityPlan[PspCall, PspReply],
    call: PspCall,
    idempotency_window_seconds: int,
) -> PspReply | None:
    """Repeat a call with one key while the PSP remembers it; return None if it stays unknown.

    With a window of 0 the PSP does not recognise repetitions: then a call is repeated only if it
    certainly was not sent, or certainly was rejected. The activity itself counts the window from
    the transaction's row, which no reset of the workflow changes.

    A refusal is final only with the proof that nothing was sent before; without it the call is
    repeated until the PSP accepts it, for example with new credentials.

    LoginError makes Billwerk+ disable the PSP: it takes two rejections, a minute apart, each
    confirmed by a read-only check in the PSP's own error format.
    """
    once = idempotency_window_seconds == 0
    window = usable_window(idempotency_window_seconds)
    deadline = workflow.now() + (timeouts.NON_IDEMPOTENT_RETRY_WINDOW if once else window)
    pause, rejections = timeouts.CREDENTIALS_PAUSE, 0
    while (remaining := deadline - workflow.now()) > timedelta(0):
        try:
            return await plan(
                call, summary=f"{plan.name} at the PSP", schedule_to_close=remaining, once=once
            )
        except FailureError as error:
            failure, nothing_sent = failure_type(error), is_nothing_sent(error)
        if once and failure is PspFailure.UNAVAILABLE:
            await workflow.sleep(pause, summary="the PSP is unavailable")
            pause = min(pause * 2, timeouts.MAX_CREDENTIALS_PAUSE)
            continue
        refused = failure in (PspFailure.CONFIGURATION, PspFailure.CREDENTIALS)
        if not refused or not nothing_sent:
            left = deadline - LAST_ATTEMPT - workflow.now()
            if once or failure is PspFailure.KEY_EXPIRED or left <= timedelta(0):
                return None
            if not workflow.patched("send-until-key-expires"):
                return None
            await workflow.sleep(min(pause, left), summary="the outcome is unknown")
            pause = min(pause * 2, timeouts.MAX_CREDENTIALS_PAUSE)
            continue
        if failure is PspFailure.CONFIGURATION:
            return decline_unsent(PaymentErrorCode.InvalidConfiguration, "No usable PSP settings.")
        rejections = rejections + 1 if await _credentials_rejected(call) else 0
        if rejections == 2:
            return LOGIN_ERROR
        await workflow.sleep(pause, summary="credentials in doubt")
        pause = min(pause * 2, timeouts.MAX_CREDENTIALS_PAUSE)
    return None


async def _credentials_rejected(call: PspCall) -> bool:
    try:
        reply = await activity_plans.CHECK_CREDENTIALS(call, summary="credential check")
    except FailureError as error:
        failure_type(error)  # raises if the activity was cancelled
        return False
    return not reply.accepted
