"""The PSP's calls, and what an answer is worth: an object, a definite no, or an outage.

Refusals have numeric codes (https://optimize-docs.billwerk.com/docs/errors); declines are no
refusals but objects in the state `failed`.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from psp.billwerk_pay.wire import ErrorBody, Listed, Session, SessionInfo, SessionInfos
from psp.common.http import Answer, PspHttp, outage
from psp.errors import CredentialsRejected, OutcomeUnknown, ProtocolError, PspError, RateLimited

W = TypeVar("W", bound=BaseModel)

MOST_PAGES = 20
"""Of 100 entries each; a list is no way to read everything."""

_VERSION = "v1"
# Only these statuses can be the PSP's own word on what was asked.
_DEFINITE = frozenset({400, 403, 404, 405, 422})
_WRONG_KEY = frozenset({3, 4, 5, 6, 59})
_THROTTLED = frozenset({122, 123})
# Internal and processing errors, concurrent updates, a transaction still under way.
_UNDECIDED = frozenset({2, 74, 78, 80})


class RefusedError(Exception):
    """The PSP's definite no; `code` is the transaction's error if it names one, else the API's.

    `text` is the PSP's sentence; it may quote the request and so stays out of `str()`.
    """

    def __init__(self, status: int, body: ErrorBody) -> None:
        self.status = status
        self.code = body.transaction_error or str(body.code)
        self.text = f"{body.error}: {body.message}" if body.message else body.error
        super().__init__(f"The PSP refused the request: {self.code}")


class Client:
    """One merchant's access to both APIs.

    Every call raises a `PspError` when there is no definite answer; what changes something also
    raises `RefusedError`.
    """

    def __init__(self, api: PspHttp, checkout: PspHttp) -> None:
        self._api = api
        self._checkout = checkout

    async def get(self, model: type[W], *path: str, **params: Any) -> W | None:
        """The object at `<path>`; None if the PSP says that there is none."""
        return _found(await self._api.send("GET", _VERSION, *path, params=params), model)

    async def session(self, id: str) -> SessionInfo | None:
        """What the checkout tells of a session; None if it knows none such."""
        return _found(await self._checkout.send("GET", _VERSION, "session_info", id), SessionInfo)

    async def sessions(self, kind: str, handle: str) -> list[SessionInfo]:
        """The sessions of a charge or of a customer."""
        answer = await self._checkout.send("GET", _VERSION, "session_info", kind, handle)
        found = _found(answer, SessionInfos)
        return found.root if found else []

    async def page(self, item: type[W], kind: str, **params: Any) -> Listed[W]:
        """A page of `/list/<kind>`."""
        found = await self.get(Listed[item], "list", kind, size=100, **params)  # type: ignore[valid-type]
        if found is None:
            raise ProtocolError("The PSP knows no such list")
        return found

    async def pages(self, item: type[W], kind: str, **params: Any) -> AsyncIterator[W]:
        """The newest entries of `/list/<kind>`; raises `OutcomeUnknown` before a too long list."""
        for _ in range(MOST_PAGES):
            page = await self.page(item, kind, **params)
            for entry in page.content:
                yield entry
            if page.next_page_token is None:
                return
            params["next_page_token"] = page.next_page_token
        raise OutcomeUnknown("The PSP's list is too long to be searched")

    async def post(self, model: type[W], *path: str, body: Mapping[str, Any] | None = None) -> W:
        """Do something at `<path>`. Nulls in `body` are left out."""
        return _read(await self._api.send("POST", _VERSION, *path, body=_given(body)), model)

    async def open_session(self, kind: str, body: Mapping[str, Any]) -> Session:
        """Open a hosted page."""
        answer = await self._checkout.send("POST", _VERSION, "session", kind, body=_given(body))
        return _read(answer, Session)

    async def close_session(self, id: str) -> None:
        """Close a hosted page."""
        answer = await self._checkout.send("DELETE", _VERSION, "session", id)
        if not answer.ok:
            raise _problem(answer)


def _read(answer: Answer, model: type[W]) -> W:
    if not answer.ok:
        raise _problem(answer)
    return answer.read(model)


def _found(answer: Answer, model: type[W]) -> W | None:
    try:
        return _read(answer, model)
    except RefusedError as refusal:
        if refusal.status == 404:
            return None
        message = "The PSP refused to be read"
        raise ProtocolError(message, psp_code=refusal.code) from None


def _problem(answer: Answer) -> PspError | RefusedError:
    body = _error_body(answer)
    if body is None or answer.status >= 500:
        return outage(answer, str(body.code) if body else None)
    code = str(body.code)
    if body.code in _THROTTLED:
        return RateLimited("The PSP throttles", retry_after=answer.retry_after, psp_code=code)
    if body.code in _WRONG_KEY and answer.status in (400, 401, 403):
        return CredentialsRejected("The PSP does not accept the private key", psp_code=code)
    if body.code in _UNDECIDED:
        return OutcomeUnknown("The PSP is not done with it", psp_code=code)
    if answer.status in _DEFINITE:
        return RefusedError(answer.status, body)
    return outage(answer, code)


def _error_body(answer: Answer) -> ErrorBody | None:
    try:
        body = ErrorBody.model_validate_json(answer.body)
    except ValidationError:
        return None
    # Somebody on the way may have a format that looks like it.
    return body if body.http_status == answer.status else None


def _given(body: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return {k: v for k, v in body.items() if v is not None} if body is not None else None
