"""Who is calling, and the ways from a route into the gateway and back to HTTP."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from sandbox_psp import accounts, gateway, idempotency, objects
from sandbox_psp.accounts import Account
from sandbox_psp.context import Context
from sandbox_psp.faults import Operation
from sandbox_psp.idempotency import Answer, answer
from sandbox_psp.objects import R
from sandbox_psp.steering import Ending

_bearer = HTTPBearer(auto_error=False)


def context(request: Request) -> Context:
    """The PSP this request came to."""
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
        self, operation: Operation, work: Callable[[], Answer], steered: Ending | None = None
    ) -> Response:
        """Run a POST through the gateway."""
        mark = idempotency.fingerprint(self._request.url.path, await self._request.body())
        call = gateway.Call(self.account.id, operation, self.key or None, mark, steered)
        return _respond(await gateway.perform(self.ctx, call, work))

    async def get(self, look: Callable[[], dict[str, Any]]) -> Response:
        """Run a GET through the gateway."""
        return _respond(await gateway.read(self.ctx, lambda: answer(200, look())))

    async def one(self, cls: type[R], id: str) -> Response:
        """Answer with one of the caller's records."""
        db = self.ctx.db
        return await self.get(lambda: objects.show(db, objects.owned(db, cls, self.account.id, id)))

    async def many(self, cls: type[R], reference: str) -> Response:
        """Answer with the caller's records of a reference, oldest first, as `{"data": [...]}`."""
        db = self.ctx.db

        def look() -> dict[str, Any]:
            found = objects.by_reference(db, cls, reference, self.account.id)
            return {"data": [objects.show(db, record) for record in found]}

        return await self.get(look)


def _respond(given: Answer) -> Response:
    return Response(given.body, given.status, given.headers, media_type="application/json")


async def _caller(
    request: Request,
    ctx: Annotated[Context, Depends(context)],
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
) -> Caller:
    account = accounts.by_key(ctx.db, credentials.credentials if credentials else None)
    return Caller(ctx, account, idempotency_key, request)


Authenticated = Annotated[Caller, Depends(_caller)]
InContext = Annotated[Context, Depends(context)]
