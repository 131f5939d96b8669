"""Exceptions of the PSP port: everything but a definite response of the PSP.

    PspError
    ├── PspUnavailable              the request certainly had no effect: retry
    │   └── RateLimited             ... the PSP rejected it because of its rate limit
    │       └── LocallyRateLimited  ... it was not sent: our own limit for this PSP is reached
    ├── OutcomeUnknown              it may have had an effect: retry with the same key, then look up
    │   ├── PspTimeout              ... no response in time
    │   └── ProtocolError           ... a response that the adapter cannot read
    ├── CredentialsRejected         the PSP rejected our credentials in its own error format
    ├── NotificationRejected        a notification that is not authentic or not readable
    └── BearerRefused               invalid payment data, found without calling the PSP

A decline is not an exception but the outcome `Declined`. Messages never hold secrets, payment data
or a PSP's raw body, since they are written to logs and to the workflow history.
"""

from integrator.contract.enums import PaymentErrorCode


class PspError(Exception):
    """Base class of the port's exceptions.

    `psp_code` is the PSP's own code, if it sent one; `retry_after` the delay in seconds that it
    requested.
    """

    def __init__(
        self, message: str, *, psp_code: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.psp_code = psp_code
        self.retry_after = retry_after


class PspUnavailable(PspError):
    """The request certainly had no effect (refused connection, explicit refusal to process)."""


class RateLimited(PspUnavailable):
    """The PSP rejected the request because of its rate limit; it had no effect."""


class LocallyRateLimited(RateLimited):
    """Our own rate limit for the PSP is reached; nothing was sent."""


class OutcomeUnknown(PspError):
    """The request may have had an effect (timeout, lost connection, server error)."""


class PspTimeout(OutcomeUnknown):
    """No response in time."""


class ProtocolError(OutcomeUnknown):
    """The response could not be read."""


class CredentialsRejected(PspError):
    """The PSP rejected our credentials in its own documented error format."""


class NotificationRejected(PspError):
    """Wrong signature, stale timestamp or unreadable body."""


class BearerRefused(PspError):
    """Payment data typed by the customer is invalid; `code` is the contract's error code."""

    def __init__(self, message: str, *, code: PaymentErrorCode) -> None:
        super().__init__(message)
        self.code = code
