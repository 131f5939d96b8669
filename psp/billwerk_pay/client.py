"""The PSP's calls, and what an answer is worth: an object, a definite no, or an outage.

Refusals have numeric codes (https://optimize-docs.billwerk.com/docs/errors); declines are no
refusals but objects in the state `failed`.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from psp.billwerk_pay.wire import ErrorBody, Listed, Session, SessionInfo, SessionInfos
from psp.billwerk_pay.words import error_code
from psp.common.client import ApiClient, RefusedError
from psp.common.http import Answer, M, PspHttp, outage
from psp.common.outcomes import failed
from psp.errors import CredentialsRejected, OutcomeUnknown, PspError, RateLimited

MOST_PAGES = 20
"""Of 100 entries each; a list is no way to read everything."""

# Only these statuses can be the PSP's own word on what was asked.
_DEFINITE = frozenset({400, 403, 404, 405, 422})
_WRONG_KEY = frozenset({3, 4, 5, 6, 59})
_THROTTLED = frozenset({122, 123})
# Internal and processing errors, concurrent updates, a transaction still under way.
_UNDECIDED = frozenset({2, 74, 78, 80})


class Api(ApiClient):
    """One of the PSP's two APIs; both have the same errors."""

    root = ("v1",)

    def problem(self, answer: Answer) -> PspError | RefusedError:
        """What an answer other than 2xx means."""
        body = answer.own(ErrorBody)
        if body is None or body.http_status != answer.status:
            # Somebody on the way may have a format that looks like it.
            return outage(answer)
        code = str(body.code)
        if answer.status >= 500:
            return outage(answer, code)
        if body.code in _THROTTLED:
            return RateLimited("The PSP throttles", retry_after=answer.retry_after, psp_code=code)
        if body.code in _WRONG_KEY and answer.status in (400, 401, 403):
            return CredentialsRejected("The PSP does not accept the private key", psp_code=code)
        if body.code in _UNDECIDED:
            return OutcomeUnknown("The PSP is not done with it", psp_code=code)
        if answer.status in _DEFINITE:
            return _refusal(body)
        return outage(answer, code)


class Client(Api):
    """One merchant's access to both APIs."""

    def __init__(self, http: PspHttp, checkout: PspHttp) -> None:
        super().__init__(http)
        self.checkout = Checkout(checkout)

    async def listed(self, item: type[M], kind: str, **params: Any) -> Listed[M]:
        """A page of `/list/<kind>`."""
        return await self.page(Listed[item], "list", kind, size=100, **params)  # type: ignore[valid-type]

    async def entries(self, item: type[M], kind: str, **params: Any) -> AsyncIterator[M]:
        """The newest entries of `/list/<kind>`; raises `OutcomeUnknown` before a too long list."""
        for _ in range(MOST_PAGES):
            page = await self.listed(item, kind, **params)
            for entry in page.content:
                yield entry
            if page.next_page_token is None:
                return
            params["next_page_token"] = page.next_page_token
        raise OutcomeUnknown("The PSP's list is too long to be searched")


class Checkout(Api):
    """The hosted pages."""

    async def open(self, kind: str, body: Mapping[str, Any]) -> Session:
        """Open a hosted page."""
        return await self.ask(Session, "POST", "session", kind, body=body)

    async def session(self, id: str) -> SessionInfo | None:
        """What the checkout tells of a session; None if it knows none such."""
        return await self.get(SessionInfo, "session_info", id)

    async def sessions(self, kind: str, handle: str) -> list[SessionInfo]:
        """The sessions of a charge or of a customer."""
        found = await self.get(SessionInfos, "session_info", kind, handle)
        return found.root if found else []

    async def close(self, id: str) -> None:
        """Close a hosted page; one that is gone is closed."""
        try:
            await self.send("DELETE", "session", id)
        except RefusedError as refusal:
            if not refusal.missing:
                raise


def _refusal(body: ErrorBody) -> RefusedError:
    """The transaction's own error says more than the API's."""
    code = body.transaction_error or str(body.code)
    text = f"{body.error}: {body.message}" if body.message else body.error
    status = body.http_status
    declined = failed(None, error_code(code), code, text)
    return RefusedError(declined, status=status, missing=status == 404)
