"""Error responses of the native API, and the exception that drops the connection."""

from typing import Any, Literal

ErrorType = Literal[
    "authentication_error",
    "invalid_request",
    "card_error",
    "rate_limit",
    "conflict",
    "api_error",
]


class PspError(Exception):
    """An error response: HTTP status plus `{"error": {"type", "code", "message"}}`."""

    def __init__(
        self,
        status: int,
        kind: ErrorType,
        code: str,
        message: str,
        *,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.code = code
        self.message = message
        self.headers = {} if retry_after is None else {"Retry-After": f"{retry_after:g}"}

    def body(self) -> dict[str, Any]:
        """Return the JSON body of the response."""
        return {"error": {"type": self.kind, "code": self.code, "message": self.message}}


class DropConnection(Exception):
    """Reset the caller's TCP connection instead of sending a response."""


def invalid_request(code: str, message: str, status: int = 400) -> PspError:
    """Return the error for a request that cannot be carried out."""
    return PspError(status, "invalid_request", code, message)


def not_found(kind: str, id: str) -> PspError:
    """Return the 404 for an object the account does not own."""
    return PspError(404, "invalid_request", "not_found", f"No such {kind}: {id}")
