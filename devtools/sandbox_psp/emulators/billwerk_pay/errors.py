"""Error responses of Billwerk+ Pay: numeric codes with HTTP statuses, and transaction errors."""

import secrets
from http import HTTPStatus

from fastapi import Response
from fastapi.responses import JSONResponse

from devtools.sandbox_psp.clock import now_ms, to_iso
from devtools.sandbox_psp.errors import PspError, invalid_request
from devtools.sandbox_psp.models import Failure

_ERROR_CODES = {
    "parameter_invalid": (1, "Invalid request"),
    "not_allowed": (1, "Invalid request"),
    "internal_error": (2, "Internal error"),
    "invalid_api_key": (3, "Invalid user or password"),
    "not_found": (8, "Not found"),
    "idempotency_key_in_use": (80, "Invoice has processing transaction"),
    "invalid_state": (82, "Invoice wrong state"),
    "amount_too_large": (102, "Amount higher than authorized amount"),
    "too_many_requests": (122, "Request rate limit exceeded"),
    "currency_mismatch": (139, "Currency not supported by payment method"),
    "payment_method_not_supported": (140, "Source type must be reusable"),
}
_ERROR_TEXTS = {
    18: "Missing customer",
    29: "Invoice already cancelled",
    40: "Payment method not found",
    65: "Refund amount too high",
    72: "Currency change not allowed",
    79: "Invoice already settled",
    80: "Invoice has processing transaction",
    99: "Customer cannot be changed on invoice",
    102: "Amount higher than authorized amount",
    105: "Invoice already authorized",
    106: "Invoice must be authorized",
    64: "Invoice not settled",
}
_TRANSACTION_ERRORS = {
    "insufficient_funds": ("insufficient_funds", "soft_declined"),
    "card_expired": ("credit_card_expired", "hard_declined"),
}


def billwerk_error(number: int, status: int = 400) -> PspError:
    """Return the error with a code of Billwerk+ Pay."""
    return invalid_request(str(number), _ERROR_TEXTS[number], status)


def transaction_error(failure: Failure) -> dict[str, str]:
    """Return the error of a failed attempt; unmapped codes are the acquirer's own reason."""
    error, state = _TRANSACTION_ERRORS.get(failure.code, ("declined_by_acquirer", "hard_declined"))
    return {"error": error, "error_state": state, "acquirer_message": failure.message}


def error_response(error: PspError) -> Response:
    """Build the response to an error."""
    is_billwerk_error = error.code.isdigit()
    number, text = _ERROR_CODES.get(error.code, (1, "Invalid request"))
    if is_billwerk_error:
        number, text = int(error.code), error.message
    status = 422 if error.code == "parameter_invalid" else error.status
    body = {
        "code": number,
        "error": text,
        "message": None if is_billwerk_error else error.message,
        "path": "/v1",
        "timestamp": to_iso(now_ms()),
        "http_status": status,
        "http_reason": HTTPStatus(status).phrase,
        "request_id": secrets.token_hex(16),
    }
    return JSONResponse(body, status, error.headers)
