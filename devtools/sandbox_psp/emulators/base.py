"""What a dialect brings, and how its part of the API is put together."""

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
    """A webhook as it leaves: signed headers and the exact body."""

    headers: Mapping[str, str]
    body: bytes


class Emulator(Protocol):
    """One PSP's way of speaking."""

    @property
    def name(self) -> str:
        """The name of the accounts' dialect and of the place it is mounted at."""

    def app(self) -> FastAPI | None:
        """The API to be mounted at `/<name>`; None if it is served elsewhere.

        `app.state.ctx` is set before the first request.
        """

    def webhook(
        self, ctx: Context, account: Account, event: Mapping[str, Any]
    ) -> SignedWebhook | None:
        """How the account hears of an event; None if this PSP would never tell.

        `event` is `{"id", "type", "created_at", "sequence", "data"}` as in the own event list,
        `data` being the record as it was then.
        """


def emulator_app(
    title: str, router: APIRouter, to_response: Callable[[PspError], Response]
) -> FastAPI:
    """An API in which every refusal is worded by `refuse`."""
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
    """The PSP's own address with a slash at the end, without the place a dialect is mounted at."""
    return f"{request.url.scheme}://{request.url.netloc}/"
