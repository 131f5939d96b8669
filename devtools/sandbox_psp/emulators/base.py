"""What a dialect brings, and how its part of the API is put together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from devtools.sandbox_psp.accounts import Account
from devtools.sandbox_psp.connection_reset import reset
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.errors import DropConnection, PspError, invalid


@dataclass(frozen=True)
class Outgoing:
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

    def webhook(self, ctx: Context, account: Account, event: Mapping[str, Any]) -> Outgoing | None:
        """How the account hears of an event; None if this PSP would never tell.

        `event` is `{"id", "type", "created_at", "sequence", "data"}` as in the own event list,
        `data` being the record as it was then.
        """


def emulator_app(title: str, router: APIRouter, refuse: Callable[[PspError], Response]) -> FastAPI:
    """An API in which every refusal is worded by `refuse`."""
    app = FastAPI(title=title, openapi_url=None)
    app.include_router(router)

    async def _refuse(_: Request, error: Exception) -> Response:
        return refuse(cast(PspError, error))

    async def _refuse_body(_: Request, error: Exception) -> Response:
        first = cast(RequestValidationError, error).errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:])
        return refuse(invalid("parameter_invalid", f"{place}: {first['msg']}"))

    async def _refuse_route(_: Request, error: Exception) -> Response:
        status = cast(HTTPException, error).status_code
        return refuse(invalid("not_found" if status == 404 else "not_allowed", str(error), status))

    app.add_exception_handler(PspError, _refuse)
    app.add_exception_handler(RequestValidationError, _refuse_body)
    app.add_exception_handler(HTTPException, _refuse_route)
    app.add_exception_handler(DropConnection, reset)
    return app


def origin(request: Request) -> str:
    """The PSP's own address with a slash at the end, without the place a dialect is mounted at."""
    return f"{request.url.scheme}://{request.url.netloc}/"
