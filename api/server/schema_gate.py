"""Rejection of requests until the database has the schema that this code needs."""

from starlette.types import ASGIApp, Receive, Scope, Send

from api.context import Context
from api.contract_response import api_error_response
from api.errors import ServiceUnavailable
from api.server.https import PROBE_PATHS


class RequireSchema:
    """ASGI middleware: answers 503 meanwhile, as for an unreachable store; probes are served."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in PROBE_PATHS:
            context: Context = scope["app"].state.context
            if context.schema_gate.reason is not None:
                await api_error_response(ServiceUnavailable())(scope, receive, send)
                return
        await self._app(scope, receive, send)
