"""The application: routes, error form, and the clockwork that runs beside them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from devtools.sandbox_psp import (
    authorizations,
    charges,
    checkout,
    control_api,
    jobs,
    refunds,
    routes,
    sessions,
)
from devtools.sandbox_psp.connection_reset import reset
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.db import Database
from devtools.sandbox_psp.emulators import DIALECTS
from devtools.sandbox_psp.errors import DropConnection, PspError, invalid
from devtools.sandbox_psp.faults import FaultBook
from devtools.sandbox_psp.settings import Settings
from devtools.sandbox_psp.webhooks import WebhookSender

_HANDLERS: dict[str, jobs.Handler] = {
    "settle_charge": charges.settle,
    "settle_refund": refunds.settle,
    "charge_back": charges.charge_back,
    "expire_session": sessions.expire,
    "expire_authorization": authorizations.expire,
}


def create_app(settings: Settings) -> FastAPI:
    """The PSP; it opens its database when it starts and must be served by `OpenProtocol`."""

    mounted = {name: dialect.app() for name, dialect in DIALECTS.items()}

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        db = Database(settings.database)
        ctx = Context(settings, db, FaultBook(db))
        for part in (app, *mounted.values()):
            if part is not None:
                part.state.ctx = ctx
        clockwork = [
            asyncio.create_task(jobs.run(ctx, _HANDLERS)),
            asyncio.create_task(WebhookSender(ctx).run()),
        ]
        try:
            yield
        finally:
            await _stop([*clockwork, *ctx.tasks])
            db.close()

    app = FastAPIOffline(title="Sandbox PSP", version="1", lifespan=lifespan, redoc_url=None)
    app.include_router(routes.router, tags=["merchant API"])
    app.include_router(control_api.router, tags=["control"])
    app.include_router(checkout.router, include_in_schema=False)
    app.add_api_route("/healthz", _healthz, methods=["GET"], tags=["control"])
    for name, part in mounted.items():
        if part is not None:
            app.mount(f"/{name}", part)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    app.add_exception_handler(PspError, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_body)
    app.add_exception_handler(HTTPException, _refuse_route)
    app.add_exception_handler(DropConnection, reset)
    return app


async def _stop(tasks: list["asyncio.Task[None]"] | list["asyncio.Task[object]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _healthz(request: Request) -> dict[str, str]:
    request.app.state.ctx.db.one("SELECT 1")
    return {"status": "ok"}


async def _refuse(_: Request, error: Exception) -> Response:
    refusal = cast(PspError, error)
    return JSONResponse(refusal.body(), refusal.status, refusal.headers)


async def _refuse_body(request: Request, error: Exception) -> Response:
    first = cast(RequestValidationError, error).errors()[0]
    place = ".".join(str(part) for part in first["loc"][1:])
    return await _refuse(request, invalid("parameter_invalid", f"{place}: {first['msg']}"))


async def _refuse_route(request: Request, error: Exception) -> Response:
    status = cast(HTTPException, error).status_code
    refusal = invalid("not_found" if status == 404 else "not_allowed", str(error), status)
    return await _refuse(request, refusal)
