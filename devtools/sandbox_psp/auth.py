"""Authenticate calls and run them through the request pipeline."""

import json
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from devtools.sandbox_psp import (
    accounts,
    idempotency,
    pagination,
    repository,
    request_pipeline,
    serializers,
)
from devtools.sandbox_psp.accounts import Account
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.faults import Operation
from devtools.sandbox_psp.idempotency import ApiResponse, json_response
from devtools.sandbox_psp.magic_amounts import MagicEnding
from devtools.sandbox_psp.pagination import ListQuery
from devtools.sandbox_psp.repository import R

_bearer = HTTPBearer(auto_error=False)


def get_context(request: Request) -> Context:
    """Return the context of the PSP that serves the request."""
    ctx: Context = request.app.state.ctx
    return ctx


class Caller:
    """An authenticated call: its account, its Idempotency-Key and its body as sent."""

    def __init__(self, ctx: Context, account: Account, key: str | None, request: Request) -> None:
        self.ctx = ctx
        self.account = account
        self.key = key or ""
        self._request = request

    async def post(
        self,
        operation: Operation,
        action: Callable[[], ApiResponse],
        ending: MagicEnding | None = None,
    ) -> Response:
        """Run a POST through the request pipeline."""
        body = await self._request.body()
        call = request_pipeline.Call(
            self.account.id,
            operation,
            self.key or None,
            idempotency.fingerprint(self._request.url.path, body),
            ending,
            reference=json.loads(body or b"{}").get("reference"),
        )
        return _respond(await request_pipeline.handle_write(self.ctx, call, action))

    async def get(
        self, load: Callable[[], dict[str, Any]], reference: str | None = None
    ) -> Response:
        """Run a GET about the transaction `reference` through the request pipeline."""
        return _respond(
            await request_pipeline.handle_read(
                self.ctx, lambda: json_response(200, load()), reference
            )
        )

    async def get_one(self, cls: type[R], id: str) -> Response:
        """Respond with one of the caller's records."""
        db = self.ctx.db
        return await self.get(
            lambda: serializers.serialize(db, repository.get_owned(db, cls, self.account.id, id)),
            repository.find_reference(db, id),
        )

    async def list_by_reference(self, cls: type[R], reference: str) -> Response:
        """Respond with the caller's records of a reference, oldest first, as `{"data": [...]}`."""
        db = self.ctx.db

        def load() -> dict[str, Any]:
            records = repository.list_by_reference(db, cls, reference, self.account.id)
            return {"data": [serializers.serialize(db, record) for record in records]}

        return await self.get(load, reference)

    async def list_page(self, cls: type[R], query: ListQuery) -> Response:
        """Respond with the caller's records of a reference, or else of a time range."""
        if query.reference is not None:
            return await self.list_by_reference(cls, query.reference)
        span, db = query.page(), self.ctx.db
        return await self.get(lambda: pagination.list_by_time(db, cls, self.account.id, span))


def _respond(response: ApiResponse) -> Response:
    return Response(response.body, response.status, response.headers, media_type="application/json")


async def _authenticate(
    request: Request,
    ctx: Annotated[Context, Depends(get_context)],
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
) -> Caller:
    account = accounts.get_by_key(ctx.db, credentials.credentials if credentials else None)
    return Caller(ctx, account, idempotency_key, request)


Authenticated = Annotated[Caller, Depends(_authenticate)]
ContextDependency = Annotated[Context, Depends(get_context)]
