"""The interface of an emulator, and what all emulators share."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from devtools.sandbox_psp.accounts import Account
from devtools.sandbox_psp.connection_reset import reset_connection
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.errors import DropConnection, PspError, invalid_request


@dataclass(frozen=True)
class SignedWebhook:
    """A webhook as sent: signed headers and the exact body."""

    headers: Mapping[str, str]
    body: bytes


class Emulator(Protocol):
    """One PSP's API and webhooks."""

    @property
    def name(self) -> str:
        """Return the name: the accounts' `dialect` and the mount path."""

    def app(self) -> FastAPI | None:
        """Return the API to mount at `/<name>`; None if it is served elsewhere.

        `app.state.ctx` is set before the first request.
        """

    def webhook(
        self, ctx: Context, account: Account, event: Mapping[str, Any]
    ) -> SignedWebhook | None:
        """Return the webhook of an event; None if this PSP sends none for it.

        `event` is `{"id", "type", "created_at", "sequence", "data"}` as in the native event list,
        `data` being the record as it was then.
        """


def emulator_app(
    title: str, router: APIRouter, to_response: Callable[[PspError], Response]
) -> FastAPI:
    """Return an application in which `to_response` builds every error response."""
    app = FastAPI(title=title, openapi_url=None)
    app.include_router(router)

    async def _refuse(_: Request, error: Exception) -> Response:
        return to_response(cast(PspError, error))

    async def _refuse_body(_: Request, error: Exception) -> Response:
        detail = cast(RequestValidationError, error).errors()[0]
        field = ".".join(str(part) for part in detail["loc"][1:])
        return to_response(invalid_request("parameter_invalid", f"{field}: {detail['msg']}"))

    async def _refuse_route(_: Request, error: Exception) -> Response:
        status = cast(HTTPException, error).status_code
        return to_response(
            invalid_request("not_found" if status == 404 else "not_allowed", str(error), status)
        )

    app.add_exception_handler(PspError, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_body)
    app.add_exception_handler(HTTPException, _refuse_route)
    app.add_exception_handler(DropConnection, reset_connection)
    return app


def base_url(request: Request) -> str:
    """Return the PSP's own URL with a trailing slash, without an emulator's mount path."""
    return f"{request.url.scheme}://{request.url.netloc}/"
