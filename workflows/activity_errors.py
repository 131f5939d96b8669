"""Classification of activity failures. Pure."""

from temporalio.exceptions import ApplicationError, FailureError, is_cancelled_exception

from workflows.messages import PspFailure


def failure_type(error: FailureError) -> PspFailure:
    """Return the type of an activity's failure; a timeout means an unknown outcome.

    Raises the error itself if the activity was cancelled.
    """
    if is_cancelled_exception(error):
        raise error
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type in set(PspFailure):
        return PspFailure(cause.type)
    return PspFailure.UNKNOWN


def is_nothing_sent(error: FailureError) -> bool:
    """Return whether the failed attempt had the proof that nothing was sent before it.

    Its detail is True then; in histories from before it is the attempt's number, 1 for the first.
    """
    cause = error.cause if not isinstance(error, ApplicationError) else error
    return isinstance(cause, ApplicationError) and tuple(cause.details[:1]) == (True,)


def cause_text(error: FailureError) -> str:
    """Return the message of the last attempt, also when the retries timed out."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ApplicationError):
            return cause.message
        cause = cause.__cause__
    return "no attempt was answered in time"
