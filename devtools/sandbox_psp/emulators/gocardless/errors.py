"""GoCardless' refusals, and how the engine's are put in its words."""

from typing import Any

from fastapi.responses import JSONResponse

from devtools.sandbox_psp.errors import PspError, invalid

_DOCUMENTATION = "https://developer.gocardless.com/api-reference/#"


class Refusal(PspError):
    """A refusal with a reason, or with a field and what is wrong with it."""

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


def bad_field(field: str, message: str) -> Refusal:
    """422 for a field whose value is wrong."""
    return Refusal(422, "validation_failed", message, field=field)


def bad_state(reason: str, message: str, status: int = 422) -> Refusal:
    """A request that the state of something forbids."""
    return Refusal(status, "invalid_state", message, reason=reason)


def conflict(id: str | None) -> Refusal:
    """409 for an idempotency key that has made something; no id while that is being made."""
    message = "A resource has already been created with this idempotency key"
    links = {"conflicting_resource_id": id} if id else {}
    reason = "idempotent_creation_conflict"
    return Refusal(409, "invalid_state", message, reason=reason, links=links)


def refuse(error: PspError) -> JSONResponse:
    """The answer to any refusal."""
    refusal = error if isinstance(error, Refusal) else _worded(error)
    body = {
        "message": refusal.message,
        "documentation_url": _DOCUMENTATION + refusal.code,
        "type": refusal.category,
        "request_id": "00000000-0000-0000-0000-000000000000",
        "code": refusal.status,
        "errors": [refusal.problem],
    }
    return JSONResponse({"error": body}, refusal.status, error.headers)


def _worded(error: PspError) -> Refusal:
    """The engine's own refusals: of a key, a token, an address, a rate, or a fault."""
    status, message = error.status, error.message
    if error.code == "idempotency_key_in_use":
        return conflict(None)
    if status >= 500:
        return Refusal(status, "gocardless", "Internal server error", reason="internal_error")
    reasons = {401: "access_token_not_found", 404: "resource_not_found", 429: "rate_limit_exceeded"}
    if status in reasons:
        return Refusal(status, "invalid_api_usage", message, reason=reasons[status])
    if error.code == "currency_mismatch":
        return bad_field("currency", "does not match the currency of the mandate")
    if status == 422:
        return bad_field("iban", message)
    return Refusal(status, "invalid_api_usage", message, reason="invalid_document_structure")


def too_late(what: str, status: str) -> Refusal:
    """What can no longer be cancelled or done."""
    return bad_state("cancellation_failed", f"The {what} is {status}.")


missing_version = invalid("missing_version_header", "The GoCardless-Version header is missing.")
