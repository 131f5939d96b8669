"""The one mapping from what can go wrong at a PSP to what Temporal does about it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from temporalio.exceptions import ApplicationError

from psp.errors import (
    CredentialsRejected,
    OutcomeUnknown,
    PspError,
    PspTimeout,
    PspUnavailable,
    RateLimited,
)
from workflows.messages import PspFailure

LONGEST_RETRY_AFTER = timedelta(hours=1)
"""A PSP's wish is honoured up to here: a misconfigured proxy must not park money for a day."""


def application_error(error: PspError) -> ApplicationError:
    """Outages and unknown outcomes are retried; rejected credentials go back to the workflow."""
    match error:
        case RateLimited(retry_after=float() | int() as seconds) if seconds > 0:
            wish = timedelta(seconds=min(seconds, LONGEST_RETRY_AFTER.total_seconds()))
            return ApplicationError(str(error), type=PspFailure.UNAVAILABLE, next_retry_delay=wish)
        case CredentialsRejected():
            return ApplicationError(str(error), type=PspFailure.CREDENTIALS, non_retryable=True)
        case PspTimeout():
            return ApplicationError(str(error), type=PspFailure.TIMEOUT)
        case PspUnavailable():
            return ApplicationError(str(error), type=PspFailure.UNAVAILABLE)
        case OutcomeUnknown():
            return ApplicationError(str(error), type=PspFailure.UNKNOWN)
        case _:
            return ApplicationError(str(error), type=PspFailure.UNKNOWN)


@contextmanager
def psp_errors() -> Iterator[None]:
    """Translate PSP errors inside the block; an adapter's texts are free of secrets."""
    try:
        yield
    except PspError as error:
        # The chain would carry the HTTP library's own texts, addresses included, into the history.
        raise application_error(error) from None
