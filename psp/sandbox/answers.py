"""Reads the PSP's answers: certainty is an object or `RefusedError`, all the rest an outage."""

from typing import TypeVar

from pydantic import ValidationError

from psp.common.http import Answer, outage
from psp.errors import CredentialsRejected, OutcomeUnknown, PspError
from psp.sandbox.wire import ErrorBody, ErrorDetail, Wire

W = TypeVar("W", bound=Wire)

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


def read(answer: Answer, model: type[W]) -> W:
    """The object in an answer.

    Raises `RefusedError`, or a `PspError` for everything that leaves the outcome open.
    """
    if not answer.ok:
        raise _problem(answer)
    return answer.read(model)


def _problem(answer: Answer) -> PspError | RefusedError:
    status = answer.status
    body = _error_body(answer)
    if body is None or status >= 500 or status == 429:
        return outage(answer, body.error.code if body else None)
    code = body.error.code
    match status, body.error.type:
        case 401, "authentication_error":
            return CredentialsRejected("The PSP does not accept the API key", psp_code=code)
        case 409, "conflict" if code in _KEY_TAKEN:
            # The first call with this key may still take effect, or has already.
            return OutcomeUnknown("The PSP knows this idempotency key", psp_code=code)
        case _ if _is_definite(status, body.error):
            return RefusedError(status, body.error, body.object.id if body.object else None)
        case _:
            return outage(answer, code)


def _is_definite(status: int, detail: ErrorDetail) -> bool:
    if status < 400 or status in _UNDECIDED:
        return False
    # A conflict about an object's state decides; one about a key does not.
    return detail.type in ("invalid_request", "card_error") or detail.code == "invalid_state"


def _error_body(answer: Answer) -> ErrorBody | None:
    try:
        return ErrorBody.model_validate_json(answer.body)
    except ValidationError:
        return None
