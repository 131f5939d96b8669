"""What can go wrong between us and a PSP, other than a definite answer.

    PspError
    ├── PspUnavailable        the request surely did not take effect; try again
    │   └── RateLimited       ... it allows no more calls now
    │       └── OverBudget    ... it was not asked: our own budget for it is used up
    ├── OutcomeUnknown        it may have taken effect: same key again, then look up
    ├── CredentialsRejected   the PSP says, in its own error format, that our key is wrong
    ├── ProtocolError         an answer this adapter cannot read; its outcome is unknown too
    ├── NotificationRejected  a notification that does not prove where it comes from
    └── BearerRefused         payment data that cannot be right, found without asking the PSP

A decline is no exception: it is the outcome `Declined`. Messages never hold secrets, payment data
or a PSP's raw body: they end up in logs and in the workflow history.
"""

from integrator.contract.enums import PaymentErrorCode


class PspError(Exception):
    """Base of all of them.

    `psp_code` is the PSP's own code, if it sent one, `retry_after` its own wish in seconds.
    """

    def __init__(
        self, message: str, *, psp_code: str | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.psp_code = psp_code
        self.retry_after = retry_after


class PspUnavailable(PspError):
    """The request surely had no effect (refused connection, explicit refusal to process)."""


class RateLimited(PspUnavailable):
    """The PSP throttles: nothing was carried out."""


class LocallyRateLimited(RateLimited):
    """We would ask the PSP more often than it allows: nothing was sent."""


class OutcomeUnknown(PspError):
    """The request may have taken effect (timeout, lost connection, server error)."""


class PspTimeout(OutcomeUnknown):
    """No answer in time."""


class ProtocolError(OutcomeUnknown):
    """The answer could not be understood."""


class CredentialsRejected(PspError):
    """The PSP refused our credentials in its own documented error format."""


class NotificationRejected(PspError):
    """Bad signature, stale timestamp or a body that is not the PSP's."""


class BearerRefused(PspError):
    """Payment data typed by the customer cannot be right; `code` says in which way."""

    def __init__(self, message: str, *, code: PaymentErrorCode) -> None:
        super().__init__(message)
        self.code = code
