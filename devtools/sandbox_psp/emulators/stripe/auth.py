"""Who is calling, the parameters as sent, and the way through the gateway and back."""

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

from fastapi import Depends, Request, Response
from pydantic import BaseModel, ConfigDict, ValidationError

from devtools.sandbox_psp import accounts, request_pipeline
from devtools.sandbox_psp.accounts import Account
from devtools.sandbox_psp.auth import InContext
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.base import origin
from devtools.sandbox_psp.emulators.stripe import form_encoding
from devtools.sandbox_psp.emulators.stripe.errors import StripeError, unacceptable, worded
from devtools.sandbox_psp.errors import PspError
from devtools.sandbox_psp.faults import Operation
from devtools.sandbox_psp.idempotency import Answer, answer
from devtools.sandbox_psp.ids import new_id
from devtools.sandbox_psp.magic_amounts import Ending

VERSION = "2026-10-28.endive"
_GONE = {"payment_method_types": "payment_method_types_no_longer_supported"}


class Params(BaseModel):
    """Base of everything that can be asked for; what is not named is refused."""

    model_config = ConfigDict(extra="forbid")

    expand: list[str] = []


P = TypeVar("P", bound=Params)
Look = Callable[[], dict[str, Any]]


class Caller:
    """An authenticated call."""

    def __init__(self, ctx: Context, account: Account, key: str | None, request: Request) -> None:
        self.ctx = ctx
        self.account = account.id
        self.origin = origin(request)
        # Stripe needs none, the engine does: a call without one is never recognised again.
        self.key = key or new_id("unkeyed")
        self._path = request.scope["path"].removeprefix(request.scope["root_path"])
        self._body: dict[str, Any] = {}
        self._query: dict[str, Any] = {}

    async def read(self, request: Request) -> None:
        """Take in the parameters."""
        self._query = form_encoding.decode(parse_qsl(request.url.query, keep_blank_values=True))
        body = await request.body()
        if body and request.headers.get("Content-Type") != "application/x-www-form-urlencoded":
            raise unacceptable("Parameters are sent as application/x-www-form-urlencoded.")
        self._body = form_encoding.decode(parse_qsl(body.decode(), keep_blank_values=True))

    def body(self, model: type[P]) -> P:
        """The parameters of a POST; StripeError 400 for any that is wrong."""
        return _valid(model, self._body)

    def query(self, model: type[P]) -> P:
        """The parameters of a GET."""
        return _valid(model, self._query)

    async def post(
        self, operation: Operation, work: Callable[[], Answer], steered: Ending | None = None
    ) -> Response:
        """Run a POST through the gateway; refusals are stored in Stripe's words."""

        def said() -> Answer:
            try:
                return work()
            except PspError as error:
                raise worded(error) from error

        mark = json.dumps([self._path, self._body], sort_keys=True)
        digest = hashlib.sha256(mark.encode()).hexdigest()
        call = request_pipeline.Call(self.account, operation, self.key, digest, steered)
        return _respond(await request_pipeline.perform(self.ctx, call, said))

    async def get(self, look: Look) -> Response:
        """Run a GET through the gateway; a list says where it is."""

        def said() -> Answer:
            shown = look()
            listed = shown.get("object") in ("list", "search_result")
            return answer(200, {**shown, "url": self._path} if listed else shown)

        return _respond(await request_pipeline.read(self.ctx, said))


async def _caller(request: Request, ctx: InContext) -> Caller:
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    if scheme != "Bearer" or not secret:
        raise StripeError(401, "invalid_request_error", "You did not provide an API key.")
    account = accounts.by_key(ctx.db, secret)
    version = request.headers.get("Stripe-Version", VERSION)
    if version != VERSION:
        raise unacceptable(f"Invalid Stripe API version: {version}")
    key = request.headers.get("Idempotency-Key")
    if key is not None and not 1 <= len(key) <= 255:
        raise unacceptable("Idempotency keys have 1 to 255 characters.")
    caller = Caller(ctx, account, key, request)
    await caller.read(request)
    return caller


Called = Annotated[Caller, Depends(_caller)]


def _respond(given: Answer) -> Response:
    headers = {"Request-Id": new_id("req"), "Stripe-Version": VERSION, **given.headers}
    return Response(given.body, given.status, headers, media_type="application/json")


def _valid(model: type[P], given: dict[str, Any]) -> P:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        param = _name(first["loc"])
        kind = first["type"]
    if kind == "extra_forbidden":
        code = _GONE.get(param, "parameter_unknown")
        raise unacceptable(f"Received unknown parameter: {param}", code=code, param=param)
    if kind == "missing":
        raise unacceptable(
            f"Missing required param: {param}.", code="parameter_missing", param=param
        )
    if kind.startswith("int_"):
        raise unacceptable(
            f"Invalid integer: {param}", code="parameter_invalid_integer", param=param
        )
    raise unacceptable(f"Invalid {param}", param=param)


def _name(place: Iterable[int | str]) -> str:
    first, *rest = [str(part) for part in place] or [""]
    return first + "".join(f"[{part}]" for part in rest)
