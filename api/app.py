"""The application: routes, error bodies and what lives as long as the process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline

from api import handlers
from api.boundary import Boundary
from api.context import open_context
from api.deps import authenticated
from api.openapi import document
from api.paths import PREFIX, CanonicalPaths
from api.routes import health, integration, notifications, payment, preauth, refund, settings
from runtime.settings import Settings

FOR_THE_PLATFORM = (integration, settings, preauth, payment, refund)


def create_app(configuration: Settings) -> FastAPI:
    """The API of one process; connects to nothing before it is used."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_context(configuration) as context:
            app.state.context = context
            yield

    # Swagger UI from a package: its usual place is a CDN, which a closed network does not reach.
    app = FastAPIOffline(
        title="Payment Integrator",
        version="1.0",
        lifespan=lifespan,
        redoc_url=None,
        redirect_slashes=False,
    )
    for module in FOR_THE_PLATFORM:
        app.include_router(module.router, prefix=PREFIX, dependencies=[Depends(authenticated)])
    app.include_router(notifications.router, prefix=PREFIX)
    app.include_router(health.router)
    routes = _routes()
    handlers.install(app, routes, PREFIX)
    app.add_middleware(CanonicalPaths, templates=[PREFIX + route.path for route in routes])
    app.add_middleware(Boundary)
    app.openapi = partial(document, app)  # type: ignore[method-assign]
    return app


def _routes() -> list[APIRoute]:
    """All routes below the prefix, with paths that leave it out."""
    modules = (*FOR_THE_PLATFORM, notifications)
    found = [route for module in modules for route in module.router.routes]
    return [route for route in found if isinstance(route, APIRoute)]
