"""Error responses of GoCardless, also for the engine's errors."""

from typing import Any

from fastapi.responses import JSONResponse

from devtools.sandbox_psp.errors import PspError, invalid_request

_DOCUMENTATION = "https://developer.gocardless.com/api-reference/#"


class GoCardlessError(PspError):
    """An error with a reason, or with a field and its problem."""

    def __init__(
        self,
        status: int,
        category: str,
        message: str,
        *,
        reason: str | None = None,
        field: str | None = None,
        links: dict[str, str] | None = None,
    ) -> None:
        super().__init__(status, "invalid_request", reason or category, message)
        self.category = category
        self.problem: dict[str, Any] = {"message": message}
        if reason is not None:
            self.problem["reason"] = reason
        if field is not None:
            self.problem |= {"field": field, "request_pointer": f"/{field}"}
        if links is not None:
            self.problem["links"] = links


def invalid_field(field: str, message: str) -> GoCardlessError:
    """Return the 422 for an invalid value of a field."""
    return GoCardlessError(422, "validation_failed", message, field=field)


def invalid_state(
    reason: str, message: str, status: int = 422, links: dict[str, str] | None = None
) -> GoCardlessError:
    """Return the error for a request that an object's state forbids."""
    return GoCardlessError(status, "invalid_state", message, reason=reason, links=links)


def idempotency_conflict(id: str | None) -> GoCardlessError:
    """Return the 409 for a used idempotency key; `id` is None while its request runs."""
    message = "A resource has already been created with this idempotency key"
    links = {"conflicting_resource_id": id} if id else {}
    reason = "idempotent_creation_conflict"
    return GoCardlessError(409, "invalid_state", message, reason=reason, links=links)


def error_response(error: PspError) -> JSONResponse:
    """Build the response to an error."""
    gocardless_error = error if isinstance(error, GoCardlessError) else _from_psp_error(error)
    body = {
        "message": gocardless_error.message,
        "documentation_url": _DOCUMENTATION + gocardless_error.code,
        "type": gocardless_error.category,
        "request_id": "00000000-0000-0000-0000-000000000000",
        "code": gocardless_error.status,
        "errors": [gocardless_error.problem],
    }
    return JSONResponse({"error": body}, gocardless_error.status, error.headers)


def _from_psp_error(error: PspError) -> GoCardlessError:
    """Convert the engine's error: of a key, a token, a path, a rate limit, or a fault."""
    status, message = error.status, error.message
    if error.code == "idempotency_key_in_use":
        return idempotency_conflict(None)
    if status >= 500:
        return GoCardlessError(
            status, "gocardless", "Internal server error", reason="internal_error"
        )
    reasons = {401: "access_token_not_found", 404: "resource_not_found", 429: "rate_limit_exceeded"}
    if status in reasons:
        return GoCardlessError(status, "invalid_api_usage", message, reason=reasons[status])
    if error.code == "currency_mismatch":
        return invalid_field("currency", "does not match the currency of the mandate")
    if status == 422:
        return invalid_field("iban", message)
    return GoCardlessError(
        status, "invalid_api_usage", message, reason="invalid_document_structure"
    )


def not_cancellable(kind: str, status: str) -> GoCardlessError:
    """Return the error for an object that can no longer be cancelled."""
    return invalid_state("cancellation_failed", f"The {kind} is {status}.")


missing_version = invalid_request(
    "missing_version_header", "The GoCardless-Version header is missing."
)
