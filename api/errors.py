"""Why a request is not answered with a transaction's state, as one tree.

ApiError                 has a status, a code of the contract and a text for a person
├── Unauthorized         401  no bearer token, or a wrong one
├── NotGenuine           401  a notification that does not prove where it comes from
├── Unreadable           400  the body is not what its type says
├── Unencrypted          403  plain HTTP where only HTTPS is spoken
├── NotFound             404  no such resource for this caller
├── TooSlow              408  the request did not arrive in time
├── BodyTooLarge         413
├── UnsupportedBody      415
├── TooMany              429  asked more often than is allowed; try again later
├── Refused              the contract's own mapping of an error code
└── Away                 503  store or Temporal cannot be reached; try again
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from temporalio.service import RPCError, RPCStatusCode

from integrator.contract import InvalidField, PaymentErrorCode, WireError, http_status
from workflows.state import Refusal

RETRY_AFTER_SECONDS = 2

_AWAY = frozenset(
    {
        RPCStatusCode.ABORTED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.INTERNAL,
        RPCStatusCode.NOT_FOUND,  # the namespace, where a call creates what it names
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.UNAVAILABLE,
        RPCStatusCode.UNKNOWN,
    }
)


class ApiError(Exception):
    """Base of all refusals. `message` is shown to the caller and holds no secret."""

    status = 500

    def __init__(
        self, code: PaymentErrorCode, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.headers = headers or {}


class Unauthorized(ApiError):
    """Never `LoginError`: that code makes the platform switch the merchant's PSP off."""

    status = 401

    def __init__(self) -> None:
        message = "A valid bearer token is required."
        headers = {"WWW-Authenticate": "Bearer"}
        super().__init__(PaymentErrorCode.UnmappedError, message, headers)


class InvalidSignature(ApiError):
    """The PSP's signature is missing, wrong or too old."""

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
    """The request came over plain HTTP, and whatever it carried may have been read by others.

    Not a redirect, which the next request would follow just as unprotected. Not 426: there is no
    upgrade within this connection. Never `PermissionDenied`: that code makes the platform switch
    the merchant's PSP off.
    """

    status = 403

    def __init__(self) -> None:
        message = "Only HTTPS is served here. Replace a token that was sent over plain HTTP."
        super().__init__(PaymentErrorCode.InvalidConfiguration, message)


class NotFound(ApiError):
    """Says the same for what never existed and for what belongs to somebody else."""

    status = 404

    def __init__(self, message: str) -> None:
        super().__init__(PaymentErrorCode.InvalidData, message)


class RequestTimeout(ApiError):
    """The request did not arrive in time; the connection ends with the answer."""

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
    """A request that was understood and may not be done; nothing was stored or sent."""

    def __init__(self, code: PaymentErrorCode, message: str) -> None:
        super().__init__(code, message)
        self.status = http_status(code)


class ServiceUnavailable(ApiError):
    """Something this service needs cannot be reached; the request may be repeated as it is."""

    status = 503

    def __init__(self) -> None:
        message = "The service is not available at the moment; try again."
        headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
        super().__init__(PaymentErrorCode.InternalError, message, headers)


def invalid_data(message: str) -> RequestRejected:
    """The request names or contains something that cannot be right."""
    return RequestRejected(PaymentErrorCode.InvalidData, message)


def precondition(message: str) -> RequestRejected:
    """The state of things forbids the operation."""
    return RequestRejected(PaymentErrorCode.InvalidPreconditions, message)


def raise_if(refusal: Refusal | None) -> None:
    """Turn a state's refusal into the caller's."""
    if refusal is not None:
        raise RequestRejected(refusal.code, refusal.message)


@contextmanager
def contract_errors() -> Iterator[None]:
    """What the contract's reader found, in this tree."""
    try:
        yield
    except WireError as error:
        raise MalformedBody(error.message) from error
    except InvalidField as error:
        raise RequestRejected(error.code, error.message) from error


@contextmanager
def temporal_errors() -> Iterator[None]:
    """`Away` for every way in which Temporal shows that it cannot be reached."""
    try:
        yield
    except RPCError as error:
        if error.status in _AWAY:
            raise ServiceUnavailable from error
        raise
    except RuntimeError as error:  # what a lazy client raises until its first connection
        raise ServiceUnavailable from error
