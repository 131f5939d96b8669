"""Authenticate Billwerk+ Pay calls and run them through the request pipeline."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.security import HTTPBasic, HTTPBasicCredentials

from devtools.sandbox_psp import accounts, request_pipeline
from devtools.sandbox_psp.accounts import Account
from devtools.sandbox_psp.auth import get_context
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.errors import invalid_request
from devtools.sandbox_psp.faults import Operation
from devtools.sandbox_psp.idempotency import ApiResponse, json_response
from devtools.sandbox_psp.magic_amounts import MagicEnding

_basic = HTTPBasic(auto_error=False)


class Caller:
    """An authenticated call."""

    def __init__(self, ctx: Context, account: Account) -> None:
        self.ctx = ctx
        self.account = account

    async def post(
        self,
        operation: Operation,
        action: Callable[[], dict[str, Any]],
        key: str | None = None,
        ending: MagicEnding | None = None,
    ) -> Response:
        """Run a POST or DELETE through the request pipeline.

        `key` is the merchant's key together with its scope. Repeating it returns the same result,
        regardless of the rest of the request.
        """
        call = request_pipeline.Call(
            account=self.account.id,
            operation=operation,
            key=key,
            fingerprint=key or "",
            ending=ending,
            keyless=key is None,
            forget_errors=True,
        )
        return _respond(
            await request_pipeline.handle_write(
                self.ctx, call, lambda: json_response(200, action())
            )
        )

    async def get(self, load: Callable[[], Any]) -> Response:
        """Run a GET through the request pipeline."""
        return _respond(
            await request_pipeline.handle_read(self.ctx, lambda: json_response(200, load()))
        )


def reject_unknown_parameters(request: Request, *names: str) -> None:
    """Raise PspError 422 for a query parameter that is not among these."""
    unknown = set(request.query_params) - set(names)
    if unknown:
        raise invalid_request(
            "parameter_invalid", f"{', '.join(sorted(unknown))}: unknown parameter"
        )


def _respond(response: ApiResponse) -> Response:
    return Response(response.body, response.status, response.headers, media_type="application/json")


async def _authenticate(
    ctx: Annotated[Context, Depends(get_context)],
    credentials: Annotated[HTTPBasicCredentials | None, Depends(_basic)],
) -> Caller:
    usable = credentials is not None and credentials.password == ""
    key = credentials.username if credentials is not None and usable else None
    return Caller(ctx, accounts.get_by_key(ctx.db, key))


Authenticated = Annotated[Caller, Depends(_authenticate)]
