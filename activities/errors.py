"""The one mapping from what can go wrong at a PSP to what Temporal does about it."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from integrator.psp.errors import CredentialsRejected, PspError, PspTimeout, PspUnavailable
from workflows.messages import PspFailure

log = logging.getLogger(__name__)

LONGEST_RETRY_AFTER = timedelta(hours=1)
"""A PSP's wish is honoured up to here: a misconfigured proxy must not park money for a day."""


FAILURES: tuple[tuple[type[PspError], PspFailure], ...] = (
    (CredentialsRejected, PspFailure.CREDENTIALS),
    (PspTimeout, PspFailure.TIMEOUT),
    (PspUnavailable, PspFailure.UNAVAILABLE),
    (PspError, PspFailure.UNKNOWN),
)
"""The first that fits; what fits nothing better may have taken effect."""


def application_error(error: PspError, attempt: int = 1) -> ApplicationError:
    """Outages and unknown outcomes are retried; rejected credentials go back to the workflow.

    The attempt's number is the error's detail: a refusal after an attempt whose answer was lost
    proves nothing about that one.
    """
    wish = error.retry_after
    return ApplicationError(
        str(error),
        attempt,
        type=next(failure for kind, failure in FAILURES if isinstance(error, kind)),
        non_retryable=isinstance(error, CredentialsRejected),
        next_retry_delay=_honoured(wish) if wish is not None and wish > 0 else None,
        # Part of the day's work: one line in the log instead of a traceback.
        category=ApplicationErrorCategory.BENIGN,
    )


def _honoured(seconds: float) -> timedelta:
    return timedelta(seconds=min(seconds, LONGEST_RETRY_AFTER.total_seconds()))


def attempt() -> int:
    """Which attempt of its activity this is, from 1; a call outside of one is a first attempt."""
    return activity.info().attempt if activity.in_activity() else 1


@contextmanager
def psp_errors() -> Iterator[None]:
    """Translate PSP errors inside the block; an adapter's texts are free of secrets."""
    try:
        yield
    except PspError as error:
        log.warning("PSP, attempt %d: %s: %s", attempt(), type(error).__name__, error)
        # The chain would carry the HTTP library's own texts, addresses included, into the history.
        raise application_error(error, attempt()) from None
