"""Reads GoCardless' answers: certainty is an object or `RefusedError`, all the rest an outage."""

from typing import Any

from pydantic import ValidationError

from psp.common.http import Answer, outage
from psp.common.texts import sentence
from psp.errors import CredentialsRejected, OutcomeUnknown, ProtocolError
from psp.gocardless.wire import ErrorBody, Trouble

_DEFINITE = frozenset({400, 403, 404, 405, 406, 409, 410, 415, 422, 426})


class RefusedError(Exception):
    """GoCardless' definite no: it understood the request and did not carry it out.

    `text` may quote the request and so stays out of `str()`.
    """

    def __init__(self, trouble: Trouble) -> None:
        problem = trouble.errors[0] if trouble.errors else None
        self.status, self.type = trouble.code, trouble.type
        self.reason = problem.reason if problem else None
        self.field = problem.field if problem else None
        self.code = self.reason or self.type
        said = problem.message if problem else trouble.message
        self.text = sentence(" ".join(filter(None, [self.field, said])))
        super().__init__(f"GoCardless refused the request: {self.code}")


class ConflictError(Exception):
    """The idempotency key has made an object already: `id`."""

    def __init__(self, id: str) -> None:
        super().__init__("The idempotency key was used")
        self.id = id


def envelope(answer: Answer, name: str) -> Any:
    """What the answer's envelope holds.

    Raises `RefusedError`, `ConflictError`, or a `PspError` for all that leaves the outcome open.
    """
    if not answer.ok:
        raise _problem(answer)
    body = answer.json()
    if not isinstance(body, dict) or name not in body:
        raise ProtocolError(f"HTTP {answer.status} without {name}")
    return body[name]


def _problem(answer: Answer) -> Exception:
    trouble = _trouble(answer)
    if trouble is None:
        return outage(answer)
    refusal = RefusedError(trouble)
    if answer.status == 401:
        return CredentialsRejected("GoCardless refuses the access token", psp_code=refusal.code)
    if refusal.reason == "idempotent_creation_conflict":
        return _conflict(trouble)
    if answer.status not in _DEFINITE or trouble.type == "gocardless":
        return outage(answer, refusal.code)
    return refusal


def _conflict(trouble: Trouble) -> Exception:
    named = (problem.links.get("conflicting_resource_id") for problem in trouble.errors)
    id = next(filter(None, named), None)
    if id is None:
        # The first call with the key may still be at work.
        return OutcomeUnknown("GoCardless knows the key and names no object")
    return ConflictError(id)


def _trouble(answer: Answer) -> Trouble | None:
    """Its own error body repeats the HTTP status."""
    try:
        trouble = ErrorBody.model_validate_json(answer.body).error
    except ValidationError:
        return None
    return trouble if trouble.code == answer.status else None
