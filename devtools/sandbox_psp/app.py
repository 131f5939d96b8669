"""Build the application: routes, error responses and background tasks."""

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
from devtools.sandbox_psp.connection_reset import reset_connection
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.db import Database
from devtools.sandbox_psp.emulators import EMULATORS
from devtools.sandbox_psp.errors import DropConnection, PspError, invalid_request
from devtools.sandbox_psp.faults import FaultStore
from devtools.sandbox_psp.settings import Settings
from devtools.sandbox_psp.webhooks import WebhookSender

_JOB_HANDLERS: dict[str, jobs.Handler] = {
    "settle_charge": charges.settle,
    "settle_refund": refunds.settle,
    "charge_back": charges.charge_back,
    "expire_session": sessions.expire,
    "expire_authorization": authorizations.expire,
}


def create_app(settings: Settings) -> FastAPI:
    """Return the application, to be served by `ResettableProtocol`. Starting opens the database."""

    emulator_apps = {name: emulator.app() for name, emulator in EMULATORS.items()}

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        db = Database(settings.database)
        ctx = Context(settings, db, FaultStore(db))
        for application in (app, *emulator_apps.values()):
            if application is not None:
                application.state.ctx = ctx
        background_tasks = [
            asyncio.create_task(jobs.run(ctx, _JOB_HANDLERS)),
            asyncio.create_task(WebhookSender(ctx).run()),
        ]
        try:
            yield
        finally:
            await _cancel_tasks([*background_tasks, *ctx.tasks])
            db.close()

    app = FastAPIOffline(title="Sandbox PSP", version="1", lifespan=lifespan, redoc_url=None)
    app.include_router(routes.router, tags=["merchant API"])
    app.include_router(control_api.router, tags=["control"])
    app.include_router(checkout.router, include_in_schema=False)
    app.add_api_route("/healthz", _healthz, methods=["GET"], tags=["control"])
    for name, application in emulator_apps.items():
        if application is not None:
            app.mount(f"/{name}", application)
    app.mount("/static", StaticFiles(directory=Path(__file__).parent / "static"), name="static")
    app.add_exception_handler(PspError, _error_response)
    app.add_exception_handler(RequestValidationError, _invalid_body_response)
    app.add_exception_handler(HTTPException, _routing_error_response)
    app.add_exception_handler(DropConnection, reset_connection)
    return app


async def _cancel_tasks(tasks: list["asyncio.Task[None]"] | list["asyncio.Task[object]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _healthz(request: Request) -> dict[str, str]:
    request.app.state.ctx.db.one("SELECT 1")
    return {"status": "ok"}


async def _error_response(_: Request, error: Exception) -> Response:
    psp_error = cast(PspError, error)
    return JSONResponse(psp_error.body(), psp_error.status, psp_error.headers)


async def _invalid_body_response(request: Request, error: Exception) -> Response:
    detail = cast(RequestValidationError, error).errors()[0]
    field = ".".join(str(application) for application in detail["loc"][1:])
    return await _error_response(
        request, invalid_request("parameter_invalid", f"{field}: {detail['msg']}")
    )


async def _routing_error_response(request: Request, error: Exception) -> Response:
    status = cast(HTTPException, error).status_code
    psp_error = invalid_request("not_found" if status == 404 else "not_allowed", str(error), status)
    return await _error_response(request, psp_error)
