"""The outermost layer: request ids, safe headers, the access log, and a last resort for what nobody
expected."""

import logging
import re
from urllib.parse import quote
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import metrics
from api.contract_response import internal_error
from api.metrics import RequestMetrics
from integrator.observability import log_setup

log = logging.getLogger("api.access")

HEADER = "X-Request-Id"
SAFE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
HSTS = "max-age=31536000"

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


class Boundary:
    """ASGI middleware. Log lines hold method, path, status and duration: never a body, a token
    or a query string. `strict`: tell browsers that came by HTTPS to come no other way."""

    def __init__(self, app: ASGIApp, *, strict: bool) -> None:
        self._app = app
        self._strict = strict

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            given = _request_id(scope)
            with log_setup.log_context(request_id=given), metrics.answering(scope) as seen:
                await self._serve(scope, receive, send, given, seen)
        else:
            await self._app(scope, receive, send)

    async def _serve(
        self, scope: Scope, receive: Receive, send: Send, given: str, seen: RequestMetrics
    ) -> None:
        async def labelled(message: Message) -> None:
            if message["type"] == "http.response.start":
                seen.status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[HEADER] = given
                self._make_safe(headers, scope)
            await send(message)

        what = f"{scope['method']} {quote(scope['path'])}"
        try:
            await self._app(scope, receive, labelled)
        except Exception:  # the boundary of the process: nothing may pass it
            log.exception("%s failed", what)
            if not seen.status:
                await internal_error()(scope, receive, labelled)
        log.info("%s %d %.1f ms", what, seen.status, seen.seconds() * 1000)

    def _make_safe(self, headers: MutableHeaders, scope: Scope) -> None:
        for name, value in SAFE_HEADERS.items():
            headers.setdefault(name, value)
        if self._strict and scope["scheme"] == "https":
            headers["Strict-Transport-Security"] = HSTS


def _request_id(scope: Scope) -> str:
    """The caller's own if it is harmless, else a new one."""
    given = Headers(scope=scope).get(HEADER, "")
    return given if _REQUEST_ID.fullmatch(given) else uuid4().hex
