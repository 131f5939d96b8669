"""Error responses of Stripe, also for the engine's errors."""

import json
from typing import Any, Literal, cast

from fastapi import Response

from devtools.sandbox_psp.errors import ErrorType, PspError
from devtools.sandbox_psp.models import Failure

StripeErrorType = Literal["api_error", "card_error", "idempotency_error", "invalid_request_error"]


class StripeError(PspError):
    """An error response `{"error": {...}}` with Stripe's members."""

    def __init__(
        self,
        status: int,
        error_type: StripeErrorType,
        message: str,
        *,
        code: str | None = None,
        retry_after: float | None = None,
        **members: Any,
    ) -> None:
        super().__init__(
            status,
            cast(ErrorType, error_type),
            code or error_type,
            message,
            retry_after=retry_after,
        )
        error = {"type": error_type, "code": code, "message": message, **members}
        self._error = {name: value for name, value in error.items() if value is not None}

    def body(self) -> dict[str, Any]:
        """Return the JSON body of the response."""
        return {"error": self._error}


def invalid_request(message: str, *, code: str | None = None, **members: Any) -> StripeError:
    """Return the 400 for an invalid request."""
    return StripeError(400, "invalid_request_error", message, code=code, **members)


def resource_missing(kind: str, id: str, param: str = "id") -> StripeError:
    """Return the 404 for an object that does not exist."""
    message = f"No such {kind}: '{id}'"
    return StripeError(404, "invalid_request_error", message, code="resource_missing", param=param)


# (code, decline code) by the issuer's or bank's reason.
_DECLINE_CODES = {
    "authentication_failed": ("authentication_required", "authentication_required"),
    "card_declined": ("card_declined", "generic_decline"),
    "card_expired": ("expired_card", "expired_card"),
    "card_not_supported": ("card_declined", "card_not_supported"),
    "debit_failed": ("payment_intent_payment_attempt_failed", "generic_could_not_process"),
    "insufficient_funds": ("card_declined", "insufficient_funds"),
    "processing_failed": ("processing_error", None),
}
# (status, type, code, parameter) by the code of the engine's error.
_ErrorMapping = tuple[int, StripeErrorType, str | None, str | None]
_ERROR_MAPPINGS: dict[str, _ErrorMapping] = {
    "amount_too_large": (400, "invalid_request_error", None, "amount"),
    "currency_mismatch": (400, "invalid_request_error", None, "currency"),
    "idempotency_key_in_use": (409, "invalid_request_error", "idempotency_key_in_use", None),
    "idempotency_key_reused": (400, "idempotency_error", None, None),
    "internal_error": (500, "api_error", None, None),
    "invalid_api_key": (401, "invalid_request_error", None, None),
    "invalid_iban": (
        400,
        "invalid_request_error",
        "invalid_bank_account_iban",
        "payment_method_data[sepa_debit][iban]",
    ),
    "invalid_state": (400, "invalid_request_error", "payment_intent_unexpected_state", None),
    "not_found": (404, "invalid_request_error", "resource_missing", "id"),
    "too_many_requests": (429, "invalid_request_error", "rate_limit", None),
}


def serialize_decline(failure: Failure) -> dict[str, Any]:
    """Return a failed attempt as in `last_payment_error`."""
    code, decline_code = _DECLINE_CODES[failure.code]
    fields = {"type": "card_error", "code": code, "message": failure.message}
    return {**fields, "decline_code": decline_code} if decline_code else fields


def from_psp_error(error: PspError) -> StripeError:
    """Convert the engine's error to Stripe's."""
    if isinstance(error, StripeError):
        return error
    default: _ErrorMapping = (error.status, "invalid_request_error", None, None)
    status, error_type, code, param = _ERROR_MAPPINGS.get(error.code, default)
    stripe_error = StripeError(status, error_type, error.message, code=code, param=param)
    stripe_error.headers = error.headers
    return stripe_error


def error_response(error: PspError) -> Response:
    """Build the response to an error."""
    stripe_error = from_psp_error(error)
    return Response(
        json.dumps(stripe_error.body()),
        stripe_error.status,
        stripe_error.headers,
        media_type="application/json",
    )
