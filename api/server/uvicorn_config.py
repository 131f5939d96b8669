"""Configuration of the uvicorn server."""

import uvicorn
from starlette.types import ASGIApp

from api.server.graceful_shutdown import DrainingServer, DrainMiddleware
from api.server.request_timeouts import TimeoutProtocol
from api.server.tls import Certificate
from integrator.settings import Settings

GRACE_SECONDS = 5
KEEP_ALIVE_SECONDS = 75
"""Longer than proxies keep an idle connection (Caddy is configured with 30 s, others have 60 s): if
the server closes first while the proxy sends, a request is lost."""
MAX_HEADER_BYTES = 16 * 1024
"""Limit of a request line with its headers."""


def create_server(
    app: ASGIApp, settings: Settings, certificate: Certificate | None
) -> DrainingServer:
    """Create a server that is ready to run."""
    drain = DrainMiddleware(app)
    config = uvicorn.Config(
        drain,
        host=settings.bind,
        port=settings.api_port,
        loop="uvloop",
        http=TimeoutProtocol,
        ws="none",
        h11_max_incomplete_event_size=MAX_HEADER_BYTES,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(settings.sync_budget_seconds) + GRACE_SECONDS,
        ssl_context_factory=None if certificate is None else lambda *_: certificate.context,
        proxy_headers=False,  # the application adds ProxyHeadersMiddleware itself
        access_log=False,
        server_header=False,
        log_config=None,
    )
    return DrainingServer(config, drain, settings.drain_seconds)
