"""Stripe's error bodies, and how the engine's refusals are worded in them."""

import json
from typing import Any, Literal, cast

from fastapi import Response

from devtools.sandbox_psp.errors import ErrorType, PspError
from devtools.sandbox_psp.models import Failure

Kind = Literal["api_error", "card_error", "idempotency_error", "invalid_request_error"]


class StripeError(PspError):
    """`{"error": {...}}` with Stripe's members."""

    def __init__(
        self,
        status: int,
        kind: Kind,
        message: str,
        *,
        code: str | None = None,
        retry_after: float | None = None,
        **members: Any,
    ) -> None:
        super().__init__(
            status, cast(ErrorType, kind), code or kind, message, retry_after=retry_after
        )
        named = {"type": kind, "code": code, "message": message, **members}
        self._error = {name: value for name, value in named.items() if value is not None}

    def body(self) -> dict[str, Any]:
        """The JSON answer."""
        return {"error": self._error}


def unacceptable(message: str, *, code: str | None = None, **members: Any) -> StripeError:
    """A 400 about the request itself."""
    return StripeError(400, "invalid_request_error", message, code=code, **members)


def missing(kind: str, id: str, param: str = "id") -> StripeError:
    """There is no such object."""
    message = f"No such {kind}: '{id}'"
    return StripeError(404, "invalid_request_error", message, code="resource_missing", param=param)


# (code, decline code) of the issuers' and banks' reasons.
_DECLINES = {
    "authentication_failed": ("authentication_required", "authentication_required"),
    "card_declined": ("card_declined", "generic_decline"),
    "card_expired": ("expired_card", "expired_card"),
    "card_not_supported": ("card_declined", "card_not_supported"),
    "debit_failed": ("payment_intent_payment_attempt_failed", "generic_could_not_process"),
    "insufficient_funds": ("card_declined", "insufficient_funds"),
    "processing_failed": ("processing_error", None),
}
# (status, type, code, the parameter it is about) of the engine's refusals.
_Refusal = tuple[int, Kind, str | None, str | None]
_REFUSALS: dict[str, _Refusal] = {
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


def declined(failure: Failure) -> dict[str, Any]:
    """A failed attempt, as `last_payment_error` shows it."""
    code, decline_code = _DECLINES[failure.code]
    shown = {"type": "card_error", "code": code, "message": failure.message}
    return {**shown, "decline_code": decline_code} if decline_code else shown


def worded(error: PspError) -> StripeError:
    """The engine's refusal in Stripe's words."""
    if isinstance(error, StripeError):
        return error
    default: _Refusal = (error.status, "invalid_request_error", None, None)
    status, kind, code, param = _REFUSALS.get(error.code, default)
    made = StripeError(status, kind, error.message, code=code, param=param)
    made.headers = error.headers
    return made


def respond(error: PspError) -> Response:
    """The answer to a refused request."""
    said = worded(error)
    return Response(
        json.dumps(said.body()), said.status, said.headers, media_type="application/json"
    )
