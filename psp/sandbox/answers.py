"""Reads the PSP's answers: certainty is an object or `RefusedError`, all the rest an outage."""

import re
from typing import TypeVar

import httpx
from pydantic import ValidationError

from psp.errors import (
    CredentialsRejected,
    OutcomeUnknown,
    ProtocolError,
    PspError,
    RateLimited,
)
from psp.sandbox.wire import ErrorBody, ErrorDetail, Wire

W = TypeVar("W", bound=Wire)

_SECONDS = re.compile(r"[0-9]{1,6}(\.[0-9]{1,3})?")
# Somebody on the way, or an overloaded PSP, may say these without knowing what became of the call.
_UNDECIDED = frozenset({401, 403, 408, 425, 429})
_KEY_TAKEN = frozenset({"idempotency_key_in_use", "idempotency_key_reused"})


class RefusedError(Exception):
    """The PSP's definite no: it understood the request and did not carry it out.

    `text` is the PSP's sentence; it may quote the request and so stays out of `str()`.
    `object_id` names the record of a declined attempt.
    """

    def __init__(self, status: int, detail: ErrorDetail, object_id: str | None) -> None:
        super().__init__(f"The PSP refused the request: {detail.code}")
        self.status = status
        self.code = detail.code
        self.text = detail.message
        self.by_issuer = detail.type == "card_error"
        self.object_id = object_id


def read(response: httpx.Response, model: type[W]) -> W:
    """The object in an answer.

    Raises `RefusedError`, or a `PspError` for everything that leaves the outcome open.
    """
    if not response.is_success:
        raise _problem(response)
    try:
        return model.model_validate_json(response.content)
    except ValidationError:
        # Without its cause, which may quote payment data; so too below.
        message = f"HTTP {response.status_code} without a readable {model.__name__}"
        raise ProtocolError(message) from None


def _problem(response: httpx.Response) -> PspError | RefusedError:
    status = response.status_code
    body = _error_body(response)
    code = body.error.code if body else None
    if status >= 500:
        return OutcomeUnknown(f"The PSP failed with HTTP {status}", psp_code=code)
    if body is None:
        return ProtocolError(f"HTTP {status} without an error of the PSP")
    match status, body.error.type:
        case 401, "authentication_error":
            return CredentialsRejected("The PSP does not accept the API key", psp_code=code)
        case 429, "rate_limit":
            wish = _retry_after(response)
            return RateLimited("The PSP throttles", retry_after=wish, psp_code=code)
        case 409, "conflict" if body.error.code in _KEY_TAKEN:
            # The first call with this key may still take effect, or has already.
            return OutcomeUnknown("The PSP knows this idempotency key", psp_code=code)
        case _ if _is_definite(status, body.error):
            return RefusedError(status, body.error, body.object.id if body.object else None)
        case _:
            return ProtocolError(f"HTTP {status} of kind {body.error.type}", psp_code=code)


def _is_definite(status: int, detail: ErrorDetail) -> bool:
    if status < 400 or status in _UNDECIDED:
        return False
    # A conflict about an object's state decides; one about a key does not.
    return detail.type in ("invalid_request", "card_error") or detail.code == "invalid_state"


def _error_body(response: httpx.Response) -> ErrorBody | None:
    try:
        return ErrorBody.model_validate_json(response.content)
    except ValidationError:
        return None


def _retry_after(response: httpx.Response) -> float | None:
    wish = response.headers.get("Retry-After", "")
    return float(wish) if _SECONDS.fullmatch(wish) else None
