"""Outermost middleware: request ids, security headers, access log and unexpected errors."""

import logging
import re
from urllib.parse import quote
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.contract_response import internal_error_response
from api.server.request_metrics import RequestMetrics, measure_request
from integrator.observability import log_setup

log = logging.getLogger("api.access")

REQUEST_ID_HEADER = "X-Request-Id"
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
HSTS = "max-age=31536000"

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


class RequestMiddleware:
    """ASGI middleware. Log lines contain method, path, status and duration: never a body, a token
    or a query string. `strict` adds `Strict-Transport-Security` to responses over HTTPS."""

    def __init__(self, app: ASGIApp, *, strict: bool) -> None:
        self._app = app
        self._strict = strict

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request_id = _resolve_request_id(scope)
            with (
                log_setup.log_context(request_id=request_id),
                measure_request(scope) as request_metrics,
            ):
                await self._serve(scope, receive, send, request_id, request_metrics)
        else:
            await self._app(scope, receive, send)

    async def _serve(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
        request_id: str,
        request_metrics: RequestMetrics,
    ) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                request_metrics.status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID_HEADER] = request_id
                self._add_security_headers(headers, scope)
            await send(message)

        request_line = f"{scope['method']} {quote(scope['path'])}"
        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:  # the last handler: no exception may leave the application
            log.exception("%s failed", request_line)
            if not request_metrics.status:
                await internal_error_response()(scope, receive, send_with_headers)
        log.info(
            "%s %d %.1f ms",
            request_line,
            request_metrics.status,
            request_metrics.elapsed_seconds() * 1000,
        )

    def _add_security_headers(self, headers: MutableHeaders, scope: Scope) -> None:
        for name, value in SECURITY_HEADERS.items():
            headers.setdefault(name, value)
        if self._strict and scope["scheme"] == "https":
            headers["Strict-Transport-Security"] = HSTS


def _resolve_request_id(scope: Scope) -> str:
    """Return the caller's request id if it is safe to log, else a new one."""
    request_id = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
    return request_id if _REQUEST_ID.fullmatch(request_id) else uuid4().hex
