"""Stripe's calls: addresses, form encoding, keys, and what an answer holds.

Certainty is an object or `RefusedError`, all the rest an outage.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from psp.common.http import Answer, PspHttp, outage
from psp.errors import (
    CredentialsRejected,
    OutcomeUnknown,
    ProtocolError,
    PspError,
    PspTimeout,
)
from psp.stripe.wire import ErrorBody, Page, Problem, Wire

W = TypeVar("W", bound=Wire)

VERSION = "2026-10-28.endive"
"""The version of the API this adapter is written for; sent with every call."""

_LONGEST_KEY = 255
_PER_PAGE = 100
_STATE = "payment_intent_unexpected_state"


class RefusedError(Exception):
    """Stripe's definite no: it understood the request and did not carry it out.

    `problem.message` may quote the request and so stays out of `str()`.
    """

    def __init__(self, status: int, problem: Problem) -> None:
        super().__init__(f"Stripe refused the request: {problem.word}")
        self.status = status
        self.problem = problem


class StripeClient:
    """One merchant's access to Stripe's API.

    Every call raises a `PspError` when there is no definite answer; a POST that Stripe turned down
    raises `RefusedError`. `expand` names the members to be shown in full.
    """

    def __init__(self, http: PspHttp) -> None:
        self._http = http

    async def get(self, model: type[W], *path: str, expand: tuple[str, ...] = ()) -> W | None:
        """The object at `/v1/<path>`; None if Stripe says that there is none."""
        try:
            return await self._send(model, "GET", *path, params={"expand": expand})
        except RefusedError as refusal:
            if refusal.problem.code == "resource_missing":
                return None
            raise _unreadable(refusal) from None

    async def page(
        self, model: type[W], *path: str, expand: tuple[str, ...] = (), **params: Any
    ) -> Page[W]:
        """One part of a list; parameters that are None are left out."""
        whole = tuple(f"data.{name}" for name in expand)
        wanted = {"limit": _PER_PAGE, **params, "expand": whole}
        try:
            return await self._send(Page[model], "GET", *path, params=wanted)  # type: ignore[valid-type]
        except RefusedError as refusal:
            raise _unreadable(refusal) from None

    async def post(
        self,
        model: type[W],
        *path: str,
        key: str,
        body: Mapping[str, Any],
        expand: tuple[str, ...] = (),
    ) -> W:
        """Do something at `/v1/<path>`; at most once per `key`."""
        if len(key) > _LONGEST_KEY:
            key = hashlib.sha256(key.encode()).hexdigest()
        headers = {"Idempotency-Key": key}
        form = {**body, "expand": expand}
        return await self._send(model, "POST", *path, form=form, headers=headers)

    async def act(
        self,
        model: type[W],
        *path: str,
        key: str,
        body: Mapping[str, Any],
        done: Callable[[W], bool],
        expand: tuple[str, ...] = (),
    ) -> W:
        """Do something to the object at `/v1/<all but the last part of path>`.

        Stripe repeats a stored 5xx for as long as it knows the key, and refuses what is done
        already: then a read decides, if what it finds is `done`.
        """
        problem: RefusedError | OutcomeUnknown
        try:
            return await self.post(model, *path, key=key, body=body, expand=expand)
        except RefusedError as refusal:
            if refusal.problem.code not in (_STATE, None):
                raise
            problem = refusal
        except PspTimeout:
            raise  # no time is left for a read
        except OutcomeUnknown as unknown:
            problem = unknown
        found = await self.get(model, *path[:-1], expand=expand)
        if found is None or not done(found):
            raise problem
        return found

    async def _send(
        self,
        model: type[W],
        method: str,
        *path: str,
        params: Mapping[str, Any] | None = None,
        form: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> W:
        answer = await self._http.send(
            method,
            "v1",
            *path,
            params=dict(_flat(params)) if params else None,
            form=dict(_flat(form)) if form else None,
            headers=headers,
        )
        if not answer.ok:
            raise _problem(answer)
        return answer.read(model)


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Stripe's forms: `{"a": {"b": [True]}}` becomes `a[b][0]=true`; what is None is left out."""
    if isinstance(value, Mapping):
        for key, member in value.items():
            yield from _flat(member, f"{name}[{key}]" if name else key)
    elif isinstance(value, list | tuple):
        for place, member in enumerate(value):
            yield from _flat(member, f"{name}[{place}]")
    elif isinstance(value, bool):
        yield name, "true" if value else "false"
    elif value is not None:
        yield name, str(value)


def _unreadable(refusal: RefusedError) -> PspError:
    code = refusal.problem.word
    return ProtocolError(f"Stripe refused to be read: {code}", psp_code=code)


def _problem(answer: Answer) -> PspError | RefusedError:
    status = answer.status
    problem = _read(answer)
    if problem is None or status >= 500 or status == 429:
        return outage(answer, problem.word if problem else None)
    code = problem.word
    if status == 401 and problem.type in ("invalid_request_error", "authentication_error"):
        return CredentialsRejected("Stripe does not accept the API key", psp_code=code)
    if status == 409 or problem.type == "idempotency_error":
        # The first call with this key may still take effect, or has already.
        return OutcomeUnknown("Stripe knows this idempotency key", psp_code=code)
    if answer.headers.get("Stripe-Should-Retry") == "true":
        return OutcomeUnknown("Stripe asks to try again", psp_code=code)
    if status in (400, 402, 403, 404) and problem.type in ("card_error", "invalid_request_error"):
        return RefusedError(status, problem)
    return outage(answer, code)


def _read(answer: Answer) -> Problem | None:
    try:
        return ErrorBody.model_validate_json(answer.body).error
    except ValidationError:
        return None
