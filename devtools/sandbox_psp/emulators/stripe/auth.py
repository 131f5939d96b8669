"""Authenticate Stripe calls, decode their parameters and run them through the request pipeline."""

import hashlib
import json
from collections.abc import Callable, Iterable
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl

from fastapi import Depends, Request, Response
from pydantic import ValidationError

from devtools.sandbox_psp import accounts, request_pipeline
from devtools.sandbox_psp.accounts import Account
from devtools.sandbox_psp.auth import ContextDependency
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.base import base_url
from devtools.sandbox_psp.emulators.stripe import form_encoding
from devtools.sandbox_psp.emulators.stripe.errors import (
    StripeError,
    from_psp_error,
    invalid_request,
)
from devtools.sandbox_psp.emulators.stripe.requests import Params
from devtools.sandbox_psp.errors import PspError
from devtools.sandbox_psp.faults import Operation
from devtools.sandbox_psp.idempotency import ApiResponse, json_response
from devtools.sandbox_psp.ids import new_id
from devtools.sandbox_psp.magic_amounts import MagicEnding

VERSION = "2026-10-28.endive"
_REMOVED_PARAMETERS = {"payment_method_types": "payment_method_types_no_longer_supported"}


P = TypeVar("P", bound=Params)
Loader = Callable[[], dict[str, Any]]


class Caller:
    """An authenticated call."""

    def __init__(self, ctx: Context, account: Account, key: str | None, request: Request) -> None:
        self.ctx = ctx
        self.account = account.id
        self.origin = base_url(request)
        # Stripe requires no key, the engine does: a call without one gets a key that never repeats.
        self.key = key or new_id("unkeyed")
        self._path = request.scope["path"].removeprefix(request.scope["root_path"])
        self._body: dict[str, Any] = {}
        self._query: dict[str, Any] = {}

    async def read_parameters(self, request: Request) -> None:
        """Decode the query and the body."""
        self._query = form_encoding.decode(parse_qsl(request.url.query, keep_blank_values=True))
        body = await request.body()
        if body and request.headers.get("Content-Type") != "application/x-www-form-urlencoded":
            raise invalid_request("Parameters are sent as application/x-www-form-urlencoded.")
        self._body = form_encoding.decode(parse_qsl(body.decode(), keep_blank_values=True))

    def body(self, model: type[P]) -> P:
        """Return the parameters of a POST; StripeError 400 for any invalid one."""
        return _validate(model, self._body)

    def query(self, model: type[P]) -> P:
        """Return the parameters of a GET; StripeError 400 for any invalid one."""
        return _validate(model, self._query)

    async def post(
        self,
        operation: Operation,
        action: Callable[[], ApiResponse],
        ending: MagicEnding | None = None,
        *,
        is_creation: bool = False,
    ) -> Response:
        """Run a POST through the request pipeline; errors are stored as Stripe's."""

        def run_action() -> ApiResponse:
            try:
                return action()
            except PspError as error:
                raise from_psp_error(error) from error

        canonical = json.dumps([self._path, self._body], sort_keys=True)
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        call = request_pipeline.Call(
            self.account,
            operation,
            self.key,
            digest,
            ending,
            convert_error=from_psp_error,
            is_creation=is_creation,
        )
        return _respond(await request_pipeline.handle_write(self.ctx, call, run_action))

    async def get(self, load: Loader, *, is_search: bool = False) -> Response:
        """Run a GET through the request pipeline; a list gets its `url`."""

        def respond() -> ApiResponse:
            body = load()
            is_list = body.get("object") in ("list", "search_result")
            return json_response(200, {**body, "url": self._path} if is_list else body)

        return _respond(await request_pipeline.handle_read(self.ctx, respond, is_search=is_search))


async def _authenticate(request: Request, ctx: ContextDependency) -> Caller:
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    if scheme != "Bearer" or not secret:
        raise StripeError(401, "invalid_request_error", "You did not provide an API key.")
    account = accounts.get_by_key(ctx.db, secret)
    version = request.headers.get("Stripe-Version", VERSION)
    if version != VERSION:
        raise invalid_request(f"Invalid Stripe API version: {version}")
    key = request.headers.get("Idempotency-Key")
    if key is not None and not 1 <= len(key) <= 255:
        raise invalid_request("Idempotency keys have 1 to 255 characters.")
    caller = Caller(ctx, account, key, request)
    await caller.read_parameters(request)
    return caller


Authenticated = Annotated[Caller, Depends(_authenticate)]


def _respond(response: ApiResponse) -> Response:
    headers = {"Request-Id": new_id("req"), "Stripe-Version": VERSION, **response.headers}
    return Response(response.body, response.status, headers, media_type="application/json")


def _validate(model: type[P], parameters: dict[str, Any]) -> P:
    _require_values(parameters, ())
    try:
        return model.model_validate(parameters)
    except ValidationError as error:
        detail = error.errors()[0]
        param = _parameter_name(detail["loc"])
        error_type = detail["type"]
    if error_type == "extra_forbidden":
        code = _REMOVED_PARAMETERS.get(param, "parameter_unknown")
        raise invalid_request(f"Received unknown parameter: {param}", code=code, param=param)
    if error_type == "missing":
        raise invalid_request(
            f"Missing required param: {param}.", code="parameter_missing", param=param
        )
    if error_type.startswith("int_"):
        raise invalid_request(
            f"Invalid integer: {param}", code="parameter_invalid_integer", param=param
        )
    raise invalid_request(f"Invalid {param}", param=param)


def _require_values(parameters: Any, path: tuple[int | str, ...]) -> None:
    """Refuse empty values, which Stripe takes for attempts to unset a parameter."""
    if isinstance(parameters, dict):
        for name, value in parameters.items():
            _require_values(value, (*path, name))
    elif isinstance(parameters, list):
        for index, value in enumerate(parameters):
            _require_values(value, (*path, index))
    elif parameters == "":
        param = _parameter_name(path)
        message = f"You passed an empty string for '{param}', which cannot be unset."
        raise invalid_request(message, code="parameter_invalid_empty", param=param)


def _parameter_name(location: Iterable[int | str]) -> str:
    first, *rest = [str(item) for item in location] or [""]
    return first + "".join(f"[{item}]" for item in rest)
