"""The application: routes, error bodies and what lives as long as the process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api import docs_page, exception_handlers
from api.context import open_context
from api.deps import authenticated
from api.metrics import Routed
from api.openapi import document
from api.routes import (
    health,
    integration,
    notifications,
    oauth,
    payment,
    preauth,
    refund,
    settings,
)
from api.server.https import HttpsOnly, require_transport
from api.server.path_normalization import PREFIX, CanonicalPaths
from api.server.request_middleware import Boundary
from integrator.settings import Settings

FOR_THE_PLATFORM = (integration, settings, preauth, payment, refund)


def create_app(configuration: Settings) -> FastAPI:
    """The API of one process; connects to nothing before it is used.

    Raises `ConfigurationError`.
    """
    require_transport(configuration)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_context(configuration) as context:
            app.state.context = context
            yield

    app = FastAPIOffline(
        title="Payment Integrator",
        version="1.0",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        static_url=docs_page.STATIC,
        redirect_slashes=False,
        # The framework's own would repeat bodies and paths to whoever an environment variable
        # names; ours is in `integrator.observability.tracing`.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    for module in FOR_THE_PLATFORM:
        app.include_router(module.router, prefix=PREFIX, dependencies=[Depends(authenticated)])
    app.include_router(notifications.router, prefix=PREFIX)
    app.include_router(oauth.router)
    app.include_router(health.router)
    docs_page.install(app)
    routes = _routes()
    exception_handlers.install(app, routes, PREFIX)
    app.add_middleware(Routed)
    app.add_middleware(CanonicalPaths, templates=[PREFIX + route.path for route in routes])
    _guard(app, configuration)
    app.openapi = partial(document, app, configuration.resolved_public_url)  # type: ignore[method-assign]
    return app


def _guard(app: FastAPI, configuration: Settings) -> None:
    """What every request passes before it is looked at; the last one added comes first."""
    strict = configuration.profile == "production"
    if strict:
        app.add_middleware(HttpsOnly)
    app.add_middleware(Boundary, strict=strict)
    if configuration.trusted_proxies:
        # Of RFC 7239's `Forwarded` nothing is believed: proxies commonly write one kind of header
        # and pass on the other as the client sent it.
        trusted = list(configuration.trusted_proxies)
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=trusted)


def _routes() -> list[APIRoute]:
    """All routes below the prefix, with paths that leave it out."""
    modules = (*FOR_THE_PLATFORM, notifications)
    found = [route for module in modules for route in module.router.routes]
    return [route for route in found if isinstance(route, APIRoute)]
