"""The outermost layer: request ids, the access log, and a last resort for what nobody expected."""

import logging
import re
import time
from urllib.parse import quote
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.answers import internal_error

log = logging.getLogger("api.access")

HEADER = "X-Request-Id"

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")


class Boundary:
    """ASGI middleware. Log lines hold method, path, status and duration: never a body, a token
    or a query string."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._serve(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = _request_id(scope)
        began = time.perf_counter()
        status = 0

        async def labelled(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        what = f"{scope['method']} {quote(scope['path'])}"
        try:
            await self._app(scope, receive, labelled)
        except Exception:  # the boundary of the process: nothing may pass it
            log.exception("%s failed [%s]", what, request_id)
            if not status:
                await internal_error()(scope, receive, labelled)
        took = (time.perf_counter() - began) * 1000
        log.info("%s %d %.1f ms [%s]", what, status, took, request_id)


def _request_id(scope: Scope) -> str:
    """The caller's own if it is harmless, else a new one."""
    given = Headers(scope=scope).get(HEADER, "")
    return given if _REQUEST_ID.fullmatch(given) else uuid4().hex
