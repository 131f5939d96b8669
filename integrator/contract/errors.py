"""Errors of reading a request, and the HTTP status of each error code."""

from types import MappingProxyType
from typing import Final

from integrator.contract.enums import PaymentErrorCode

_CODES_BY_STATUS: Final = {
    401: ("LoginError",),
    422: (
        "BearerInvalid",
        "BearerExpired",
        "InvalidData",
        "InvalidAmount",
        "InvalidCountry",
        "InvalidCurrency",
        "InvalidBic",
        "InvalidIBAN",
        "InvalidNationalIdNumber",
        "InsufficientBalance",
        "Rejected",
        "Canceled",
        "FailedCustomerUpdate",
    ),
    429: ("LimitExceeded",),
    500: (
        "UnmappedError",
        "AlreadyExecuted",
        "RateLimit",
        "InvalidPreconditions",
        "InternalError",
        "InvalidConfiguration",
        "PermissionDenied",
        "PSPConnectionTimeout",
        "InternalProviderError",
        "PSPConnectionProblem",
    ),
}

HTTP_STATUS: Final = MappingProxyType(
    {PaymentErrorCode[name]: status for status, names in _CODES_BY_STATUS.items() for name in names}
)


def http_status(code: PaymentErrorCode) -> int:
    """Return the HTTP status of a `PaymentError` with this code. Defined for every code.

    This is the mapping of Billwerk+, surprises included: `LimitExceeded` is 429 while `RateLimit`
    is 500, and so are `PermissionDenied` (not 403) and `AlreadyExecuted` (not 409).
    """
    return HTTP_STATUS[code]


class WireError(Exception):
    """A body that cannot be read: malformed JSON or a wrong JSON type (HTTP 400).

    `message` is meant for the caller and never contains a value from the body.
    """

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class InvalidField(Exception):
    """A missing member or a value that is not allowed (HTTP 422, with `code`).

    `message` names the JSON member and never contains a value from the body.
    """

    def __init__(self, code: PaymentErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
