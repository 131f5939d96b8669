"""API clients of Billwerk+ Pay and classification of its errors.

Refusals have numeric codes (https://optimize-docs.billwerk.com/docs/errors); declines are not
refusals but objects in the state `failed`.
"""

import logging
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

from integrator.psp.billwerk_pay.error_codes import error_code
from integrator.psp.billwerk_pay.request_bodies import without_texts
from integrator.psp.billwerk_pay.wire import ErrorBody, ListPage, SessionInfo, SessionInfos
from integrator.psp.errors import CredentialsRejected, OutcomeUnknown, PspError, RateLimited
from integrator.psp.toolkit.client import ApiClient, RefusedError
from integrator.psp.toolkit.http import M, PspHttp, PspResponse, classify_failure
from integrator.psp.toolkit.outcomes import failed_outcome
from integrator.psp.toolkit.pagination import iterate_entries

MAX_PAGES = 20
"""Maximum number of pages, of 100 entries each, to be read from a list."""

# Only these statuses can be a definite response of the PSP.
_DEFINITE_STATUSES = frozenset({400, 403, 404, 405, 422})
_WRONG_KEY_CODES = frozenset({3, 4, 5, 6, 59})
_RATE_LIMIT_CODES = frozenset({122, 123})
# Internal and processing errors, concurrent updates, a transaction in progress.
_UNDECIDED_CODES = frozenset({2, 74, 78, 80})


_INVALID_REQUEST = "1"
_OPTIONAL_TEXTS = frozenset(
    {"address", "address2", "city", "country", "ordertext", "postal_code", "text"}
)
_WORD = re.compile(r"[a-z0-9_]+")

Body = Mapping[str, Any]

log = logging.getLogger(__name__)


class BillwerkPayApi(ApiClient):
    """Base client of the PSP's two APIs, which have the same errors."""

    path_prefix = ("v1",)

    def classify_error(self, response: PspResponse) -> PspError | RefusedError:
        """Return the exception for a response other than 2xx."""
        body = response.try_parse(ErrorBody)
        if body is None or body.http_status != response.status:
            # It may be the error body of a proxy in a similar format.
            return classify_failure(response)
        code = str(body.code)
        if response.status >= 500:
            return classify_failure(response, code)
        if body.code in _RATE_LIMIT_CODES:
            return RateLimited(
                "The PSP's rate limit is exceeded", retry_after=response.retry_after, psp_code=code
            )
        if body.code in _WRONG_KEY_CODES and response.status in (400, 401, 403):
            return CredentialsRejected("The PSP rejected the private key", psp_code=code)
        if body.code in _UNDECIDED_CODES:
            return OutcomeUnknown("The PSP has not finished processing", psp_code=code)
        if response.status in _DEFINITE_STATUSES:
            return _build_refusal(body)
        return classify_failure(response, code)


class BillwerkPayClient(BillwerkPayApi):
    """Client of both APIs for one merchant."""

    def __init__(self, http: PspHttp, checkout: PspHttp) -> None:
        super().__init__(http)
        self.checkout = CheckoutApi(checkout)

    async def list_page(self, item: type[M], kind: str, **params: Any) -> ListPage[M]:
        """Return a page of `/list/<kind>`."""
        return await self.get_required(ListPage[item], "list", kind, size=100, **params)  # type: ignore[valid-type]

    def iterate_list(self, item: type[M], kind: str, **params: Any) -> AsyncIterator[M]:
        """Yield the newest entries of `/list/<kind>`; raise `OutcomeUnknown` if it is too long."""

        async def fetch_page(after: str | None) -> tuple[list[M], str | None]:
            page = await self.list_page(item, kind, next_page_token=after, **params)
            return page.content, page.next_page_token

        return iterate_entries(fetch_page, MAX_PAGES)

    async def send_reduced(self, api: ApiClient, model: type[M], *path: str, body: Body) -> M:
        """POST `body`, and again without the texts that the PSP refuses.

        A text or an address must not prevent a payment. Raises `RefusedError`.
        """
        try:
            return await api.request(model, "POST", *path, body=body)
        except RefusedError as refusal:
            names = _refused_texts(refusal)
            reduced = without_texts(body, names)
            if reduced == body:
                raise
            log.warning("The PSP refused %s: sent again without", ", ".join(sorted(names)))
            return await api.request(model, "POST", *path, body=reduced)


class CheckoutApi(BillwerkPayApi):
    """Client of the API for hosted pages."""

    async def list_sessions(self, kind: str, handle: str) -> list[SessionInfo]:
        """Return the sessions of a charge or of a customer."""
        sessions = await self.get(SessionInfos, "session_info", kind, handle)
        return sessions.root if sessions else []

    async def close_session(self, id: str) -> None:
        """Close a hosted page; a missing one counts as closed."""
        try:
            await self.send("DELETE", "session", id)
        except RefusedError as refusal:
            if not refusal.missing:
                raise


def _refused_texts(refusal: RefusedError) -> frozenset[str]:
    """Return the optional texts that the message of an invalid request names."""
    if refusal.psp_code != _INVALID_REQUEST:
        return frozenset()
    words = set(_WORD.findall((refusal.declined.message or "").lower()))
    return frozenset(_OPTIONAL_TEXTS & words)


def _build_refusal(body: ErrorBody) -> RefusedError:
    """Build the refusal for an error body; the transaction's own error takes precedence."""
    code = body.transaction_error or str(body.code)
    text = f"{body.error}: {body.message}" if body.message else body.error
    declined = failed_outcome(None, error_code(code), code, text)
    return RefusedError(declined, status=body.http_status, missing=body.http_status == 404)
