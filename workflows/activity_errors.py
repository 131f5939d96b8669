"""Reading what an activity's failure means. Pure."""

from temporalio.exceptions import ApplicationError, FailureError, is_cancelled_exception

from workflows.messages import PspFailure


def failure_type(error: FailureError) -> PspFailure:
    """The type of the failure behind an activity error; a timeout means an unknown outcome."""
    if is_cancelled_exception(error):
        raise error
    cause = error.cause
    if isinstance(cause, ApplicationError) and cause.type in set(PspFailure):
        return PspFailure(cause.type)
    return PspFailure.UNKNOWN


def is_first_attempt(error: FailureError) -> bool:
    """Whether the failed attempt was the first one, so that nothing was sent before it."""
    cause = error.cause if not isinstance(error, ApplicationError) else error
    return isinstance(cause, ApplicationError) and tuple(cause.details[:1]) == (1,)


def cause_text(error: FailureError) -> str:
    """What the last attempt said, also when the time for further ones ran out."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ApplicationError):
            return cause.message
        cause = cause.__cause__
    return "no attempt was answered in time"
