"""Mapping of PSP errors to Temporal application errors."""

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
"""Upper limit of a PSP's requested delay: a misconfigured proxy must not hold money for a day."""


FAILURES: tuple[tuple[type[PspError], PspFailure], ...] = (
    (CredentialsRejected, PspFailure.CREDENTIALS),
    (PspTimeout, PspFailure.TIMEOUT),
    (PspUnavailable, PspFailure.UNAVAILABLE),
    (PspError, PspFailure.UNKNOWN),
)
"""The first match counts; an error that matches none of the others may have taken effect."""


def application_error(error: PspError, *, nothing_sent: bool = False) -> ApplicationError:
    """Convert a PSP error; outages and unknown outcomes are retried, rejected credentials are not.

    Its detail is `nothing_sent`, the proof that no earlier attempt has reached the PSP: without it
    a refusal proves nothing about earlier attempts.
    """
    requested_delay = error.retry_after
    return ApplicationError(
        _storable(str(error)),
        nothing_sent,
        type=next(failure for error_type, failure in FAILURES if isinstance(error, error_type)),
        non_retryable=isinstance(error, CredentialsRejected),
        next_retry_delay=_bounded_delay(requested_delay)
        if requested_delay and requested_delay > 0
        else None,
        # Expected in operation: one line in the log instead of a traceback.
        category=ApplicationErrorCategory.BENIGN,
    )


def _storable(text: str) -> str:
    """Return a text that a message to Temporal can hold: half of a surrogate pair it cannot."""
    return text.encode(errors="backslashreplace").decode()


def _bounded_delay(seconds: float) -> timedelta:
    return timedelta(seconds=min(seconds, LONGEST_RETRY_AFTER.total_seconds()))


def current_attempt() -> int:
    """Return the number of the activity's attempt, from 1; 1 outside of an activity."""
    return activity.info().attempt if activity.in_activity() else 1


def log_psp_error(error: PspError) -> None:
    """Log a failed call; an adapter's messages contain no secrets."""
    log.warning("PSP, attempt %d: %s: %s", current_attempt(), type(error).__name__, error)


@contextmanager
def psp_errors(*, read: bool = False) -> Iterator[None]:
    """Translate PSP errors inside the block; an adapter's messages contain no secrets.

    The failure of a `read` proves nothing about what was sent.
    """
    try:
        yield
    except PspError as error:
        log_psp_error(error)
        # The chain would carry the HTTP library's messages, with addresses, into the history.
        unsent = not read and current_attempt() == 1
        raise application_error(error, nothing_sent=unsent) from None
