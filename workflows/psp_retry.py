"""Sending a money operation to the PSP until its outcome is known or the key is forgotten."""

from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import FailureError

from integrator.contract.enums import PaymentErrorCode
from integrator.psp.types import Declined
from workflows import activity_plans, timeouts
from workflows.activity_errors import failure_type, is_first_attempt
from workflows.messages import PspCall, PspFailure, PspReply
from workflows.state import EvidenceKind

KEY_WINDOW_SHARE = 0.8
"""A key is not used to its last second: the PSP's clock and ours differ, and calls take time."""

LOGIN_ERROR = PspReply(
    outcome=Declined(
        code=PaymentErrorCode.LoginError, message="The PSP rejects the merchant's credentials."
    ),
    evidence=EvidenceKind.ANSWER,
)


def refused_by_us(code: PaymentErrorCode, message: str) -> PspReply:
    """A refusal decided before anything was sent."""
    return PspReply(outcome=Declined(code=code, message=message), evidence=EvidenceKind.NOT_SENT)


async def send_until_known(
    step: activity_plans.ActivityPlan[PspCall, PspReply], call: PspCall, key_window_seconds: int
) -> PspReply | None:
    """Repeat with the same key for as long as the PSP remembers it; None: still unknown.

    With a window of 0 the PSP recognises no repetition: then only what surely was not sent, or
    surely was refused, is sent again.

    LoginError makes Billwerk+ switch the PSP off: it takes two refusals, a minute apart, each
    confirmed by a read-only check in the PSP's own error format.
    """
    once = key_window_seconds == 0
    window = timedelta(seconds=key_window_seconds * KEY_WINDOW_SHARE)
    ends = workflow.now() + (timeouts.UNREPEATABLE_WINDOW if once else window)
    pause, refusals = timeouts.CREDENTIALS_PAUSE, 0
    while (left := ends - workflow.now()) > timedelta(0):
        try:
            return await step(call, summary=f"{step.name} at the PSP", budget=left, once=once)
        except FailureError as error:
            failure, first = failure_type(error), is_first_attempt(error)
        if once and failure is PspFailure.UNAVAILABLE:
            await workflow.sleep(pause, summary="the PSP is away")
            pause = min(pause * 2, timeouts.LONGEST_CREDENTIALS_PAUSE)
            continue
        # After an attempt without an answer, a refusal of the next one proves nothing.
        if not first or failure not in (PspFailure.CONFIGURATION, PspFailure.CREDENTIALS):
            return None
        if failure is PspFailure.CONFIGURATION:
            return refused_by_us(PaymentErrorCode.InvalidConfiguration, "No usable PSP settings.")
        refusals = refusals + 1 if await _credentials_refused(call) else 0
        if refusals == 2:
            return LOGIN_ERROR
        await workflow.sleep(pause, summary="credentials in doubt")
        pause = min(pause * 2, timeouts.LONGEST_CREDENTIALS_PAUSE)
    return None


async def _credentials_refused(call: PspCall) -> bool:
    try:
        reply = await activity_plans.CHECK_CREDENTIALS(call, summary="credential check")
    except FailureError as error:
        failure_type(error)  # raises a cancellation again
        return False
    return not reply.accepted
