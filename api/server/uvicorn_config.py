"""The server around the application."""

import uvicorn
from starlette.types import ASGIApp

from api.server.graceful_shutdown import Drain, DrainingServer
from api.server.request_timeouts import TimeoutProtocol
from api.server.tls import Certificate
from integrator.settings import Settings

GRACE_SECONDS = 5
KEEP_ALIVE_SECONDS = 75
"""Longer than proxies keep an idle connection (Caddy is told 30 s, others have 60 s): who closes
first while the other sends loses a request."""
LONGEST_HEAD = 16 * 1024
"""Bytes of a request line with its headers."""


def certificate_of(settings: Settings) -> Certificate | None:
    """What the API serves HTTPS with, if it does so itself. Raises `ConfigurationError`."""
    if settings.tls_cert_file is None or settings.tls_key_file is None:
        return None
    return Certificate(settings.tls_cert_file, settings.tls_key_file)


def server_of(app: ASGIApp, settings: Settings, certificate: Certificate | None) -> DrainingServer:
    """A server that is ready to run."""
    drain = Drain(app)
    config = uvicorn.Config(
        drain,
        host=settings.bind,
        port=settings.api_port,
        loop="uvloop",
        http=TimeoutProtocol,
        ws="none",
        h11_max_incomplete_event_size=LONGEST_HEAD,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=int(settings.sync_budget_seconds) + GRACE_SECONDS,
        ssl_context_factory=None if certificate is None else lambda *_: certificate.context,
        proxy_headers=False,  # the application has proxies of its own choice
        access_log=False,
        server_header=False,
        log_config=None,
    )
    return DrainingServer(config, drain, settings.drain_seconds)
