"""The FastAPI application: routes, exception handlers, middleware and lifespan."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from api import exception_handlers
from api.context import open_context
from api.deps import authenticate_caller
from api.openapi import document
from api.routes import (
    docs_page,
    health,
    integration,
    notifications,
    oauth,
    payment,
    preauth,
    refund,
    settings,
)
from api.server.https import HttpsOnly, require_https
from api.server.path_normalization import API_PREFIX, PathNormalization
from api.server.request_metrics import RouteRecorder
from api.server.request_middleware import RequestMiddleware
from api.server.schema_gate import RequireSchema
from integrator.settings import Settings

CONTRACT_ROUTERS = (integration, settings, preauth, payment, refund)


def create_app(configuration: Settings) -> FastAPI:
    """Create the API of one process; connections are opened on first use.

    Raises `ConfigurationError`.
    """
    require_https(configuration)

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
        static_url=docs_page.STATIC_URL,
        redirect_slashes=False,
        # FastAPI's own telemetry would export bodies and paths to any endpoint that an environment
        # variable names; tracing is set up in `integrator.observability.tracing`.
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},
    )
    for module in CONTRACT_ROUTERS:
        app.include_router(
            module.router, prefix=API_PREFIX, dependencies=[Depends(authenticate_caller)]
        )
    app.include_router(notifications.router, prefix=API_PREFIX)
    app.include_router(oauth.router)
    app.include_router(health.router)
    docs_page.install(app)
    routes = _list_prefixed_routes()
    exception_handlers.install(app, routes, API_PREFIX)
    app.add_middleware(RouteRecorder)
    app.add_middleware(PathNormalization, templates=[API_PREFIX + route.path for route in routes])
    _add_middleware(app, configuration)
    app.openapi = partial(document, app, configuration.resolved_public_url)  # type: ignore[method-assign]
    return app


def _add_middleware(app: FastAPI, configuration: Settings) -> None:
    """Add the middleware around the application; the last one added runs first."""
    app.add_middleware(RequireSchema)
    strict = configuration.profile == "production"
    if strict:
        app.add_middleware(HttpsOnly)
    app.add_middleware(RequestMiddleware, strict=strict)
    if configuration.trusted_proxies:
        # RFC 7239's `Forwarded` is ignored: proxies commonly write one kind of header and pass on
        # the other as the client sent it.
        trusted = list(configuration.trusted_proxies)
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=trusted)


def _list_prefixed_routes() -> list[APIRoute]:
    """Return all routes below the prefix, with paths that leave it out."""
    modules = (*CONTRACT_ROUTERS, notifications)
    routes = [route for module in modules for route in module.router.routes]
    return [route for route in routes if isinstance(route, APIRoute)]
