"""The PSP's calls, and what an answer is worth: an object, a definite no, or an outage.

Refusals have numeric codes (https://optimize-docs.billwerk.com/docs/errors); declines are no
refusals but objects in the state `failed`.
"""

from collections.abc import AsyncIterator
from typing import Any

from integrator.psp.billwerk_pay.error_codes import error_code
from integrator.psp.billwerk_pay.wire import ErrorBody, Listed, SessionInfo, SessionInfos
from integrator.psp.errors import CredentialsRejected, OutcomeUnknown, PspError, RateLimited
from integrator.psp.toolkit.client import ApiClient, RefusedError
from integrator.psp.toolkit.http import Answer, M, PspHttp, classify_failure
from integrator.psp.toolkit.outcomes import failed
from integrator.psp.toolkit.pagination import entries

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
        body = answer.try_parse(ErrorBody)
        if body is None or body.http_status != answer.status:
            # Somebody on the way may have a format that looks like it.
            return classify_failure(answer)
        code = str(body.code)
        if answer.status >= 500:
            return classify_failure(answer, code)
        if body.code in _THROTTLED:
            return RateLimited("The PSP throttles", retry_after=answer.retry_after, psp_code=code)
        if body.code in _WRONG_KEY and answer.status in (400, 401, 403):
            return CredentialsRejected("The PSP does not accept the private key", psp_code=code)
        if body.code in _UNDECIDED:
            return OutcomeUnknown("The PSP is not done with it", psp_code=code)
        if answer.status in _DEFINITE:
            return _refusal(body)
        return classify_failure(answer, code)


class Client(Api):
    """One merchant's access to both APIs."""

    def __init__(self, http: PspHttp, checkout: PspHttp) -> None:
        super().__init__(http)
        self.checkout = Checkout(checkout)

    async def listed(self, item: type[M], kind: str, **params: Any) -> Listed[M]:
        """A page of `/list/<kind>`."""
        return await self.require(Listed[item], "list", kind, size=100, **params)  # type: ignore[valid-type]

    def entries(self, item: type[M], kind: str, **params: Any) -> AsyncIterator[M]:
        """The newest entries of `/list/<kind>`; raises `OutcomeUnknown` before a too long list."""

        async def part(after: str | None) -> tuple[list[M], str | None]:
            page = await self.listed(item, kind, next_page_token=after, **params)
            return page.content, page.next_page_token

        return entries(part, MOST_PAGES)


class Checkout(Api):
    """The hosted pages."""

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
    declined = failed(None, error_code(code), code, text)
    return RefusedError(declined, status=body.http_status, missing=body.http_status == 404)
