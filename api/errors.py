"""Errors of the API with their HTTP status.

ApiError                 has a status, a code of the contract and a readable message
├── Unauthorized         401  missing or wrong bearer token
├── InvalidSignature     401  the signature of a notification is not valid
├── MalformedBody        400  the body does not have the declared type
├── HttpsRequired        403  plain HTTP where only HTTPS is allowed
├── NotFound             404  no such resource for this caller
├── RequestTimeout       408  the request did not arrive in time
├── BodyTooLarge         413
├── UnsupportedBody      415
├── RateLimited          429  too many requests; try again later
├── RequestRejected      the contract's mapping of an error code
└── ServiceUnavailable   503  store or Temporal cannot be reached; try again
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from temporalio.service import RPCError, RPCStatusCode

from integrator.contract import PaymentErrorCode, http_status
from workflows.state import Refusal

RETRY_AFTER_SECONDS = 2

_UNAVAILABLE_STATUSES = frozenset(
    {
        RPCStatusCode.ABORTED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.INTERNAL,
        RPCStatusCode.NOT_FOUND,  # the namespace: the calls in question create their workflow
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.UNKNOWN,
    }
)


class ApiError(Exception):
    """Base of all API errors. `message` is shown to the caller and contains no secret."""

    status = 500

    def __init__(
        self, code: PaymentErrorCode, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.headers = headers or {}


class Unauthorized(ApiError):
    """The bearer token is missing or wrong.

    Never `LoginError`: that code makes Billwerk+ disable the merchant's PSP.
    """

    status = 401

    def __init__(self) -> None:
        message = "A valid bearer token is required."
        headers = {"WWW-Authenticate": "Bearer"}
        super().__init__(PaymentErrorCode.UnmappedError, message, headers)


class InvalidSignature(ApiError):
    """The signature of a notification is missing, wrong or too old."""

    status = 401

    def __init__(self) -> None:
        message = "The notification could not be verified."
        super().__init__(PaymentErrorCode.UnmappedError, message)


class MalformedBody(ApiError):
    """The body is not JSON, or a member has the wrong JSON type."""

    status = 400

    def __init__(self, message: str) -> None:
        super().__init__(PaymentErrorCode.InvalidData, message)


class HttpsRequired(ApiError):
    """The request came over plain HTTP; its content may have been read by others.

    Not a redirect, which the next request would follow just as unprotected. Not 426: there is no
    upgrade within this connection. Never `PermissionDenied`: that code makes Billwerk+ disable
    the merchant's PSP.
    """

    status = 403

    def __init__(self) -> None:
        message = "Only HTTPS is served here. Replace a token that was sent over plain HTTP."
        super().__init__(PaymentErrorCode.InvalidConfiguration, message)


class NotFound(ApiError):
    """The resource does not exist, or belongs to another merchant: the same response for both."""

    status = 404

    def __init__(self, message: str) -> None:
        super().__init__(PaymentErrorCode.InvalidData, message)


class RequestTimeout(ApiError):
    """The request did not arrive in time; the connection is closed after the response."""

    status = 408

    def __init__(self) -> None:
        message = "The request did not arrive in time."
        super().__init__(PaymentErrorCode.InvalidData, message, {"Connection": "close"})


class BodyTooLarge(ApiError):
    """The body is larger than any request of the contract."""

    status = 413

    def __init__(self, limit: int) -> None:
        message = f"The body is larger than {limit // 1024} KB."
        super().__init__(PaymentErrorCode.InvalidData, message)


class UnsupportedBody(ApiError):
    """The body is not declared as JSON."""

    status = 415

    def __init__(self) -> None:
        super().__init__(PaymentErrorCode.InvalidData, "The content type must be application/json.")


class RateLimited(ApiError):
    """Too many requests; nothing was done. `retry_after` is in seconds.

    With `RateLimit`, though the contract's mapping has 500 for it: its 429 is `LimitExceeded`, a
    limit of the customer's means of payment, and would end a payment that was never tried.
    """

    status = 429

    def __init__(self, retry_after: int) -> None:
        message = "Too many requests; try again later."
        headers = {"Retry-After": str(retry_after)}
        super().__init__(PaymentErrorCode.RateLimit, message, headers)


class RequestRejected(ApiError):
    """A valid request that is not allowed; nothing was stored or sent."""

    def __init__(self, code: PaymentErrorCode, message: str) -> None:
        super().__init__(code, message)
        self.status = http_status(code)


class ServiceUnavailable(ApiError):
    """The store or Temporal cannot be reached; the request may be repeated unchanged."""

    status = 503

    def __init__(self) -> None:
        message = "The service is not available at the moment; try again."
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        super().__init__(PaymentErrorCode.InternalError, message, headers)


def invalid_data(message: str) -> RequestRejected:
    """Return the error for a request with wrong data."""
    return RequestRejected(PaymentErrorCode.InvalidData, message)


def invalid_precondition(message: str) -> RequestRejected:
    """Return the error for an operation that the current state forbids."""
    return RequestRejected(PaymentErrorCode.InvalidPreconditions, message)


def raise_if_refused(refusal: Refusal | None) -> None:
    """Raise a state's refusal as an API error."""
    if refusal is not None:
        raise RequestRejected(refusal.code, refusal.message)


@contextmanager
def map_temporal_errors() -> Iterator[None]:
    """Raise `ServiceUnavailable` for every error that means Temporal cannot be reached."""
    try:
        yield
    except RPCError as error:
        if error.status in _UNAVAILABLE_STATUSES:
            raise ServiceUnavailable from error
        raise
    except RuntimeError as error:  # raised by a lazy client until its first connection
        raise ServiceUnavailable from error
