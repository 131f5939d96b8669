"""The refusals of the dialect, and the one way to give no answer at all."""

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
    """A refusal: HTTP status plus `{"error": {"type", "code", "message"}}`."""

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
        """The error as it goes over the wire."""
        return {"error": {"type": self.kind, "code": self.code, "message": self.message}}


class DropConnection(Exception):
    """The caller's TCP connection is to be reset instead of answered."""


def invalid_request(code: str, message: str, status: int = 400) -> PspError:
    """A request that cannot be carried out as it stands."""
    return PspError(status, "invalid_request", code, message)


def not_found(what: str, id: str) -> PspError:
    """404 for an object the account does not own."""
    return PspError(404, "invalid_request", "not_found", f"No such {what}: {id}")
