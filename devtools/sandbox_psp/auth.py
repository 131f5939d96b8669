"""Who is calling, and the ways from a route into the gateway and back to HTTP."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Header, Query, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import AwareDatetime

from devtools.sandbox_psp import accounts, idempotency, repository, request_pipeline
from devtools.sandbox_psp.accounts import Account
from devtools.sandbox_psp.clock import iso, ms
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.errors import invalid
from devtools.sandbox_psp.faults import Operation
from devtools.sandbox_psp.idempotency import Answer, answer
from devtools.sandbox_psp.magic_amounts import Ending
from devtools.sandbox_psp.repository import R, Span

_bearer = HTTPBearer(auto_error=False)


def context(request: Request) -> Context:
    """The PSP this request came to."""
    ctx: Context = request.app.state.ctx
    return ctx


class Listing:
    """What a list was asked for: a reference, or else a span of time and a place in it."""

    def __init__(
        self,
        reference: Annotated[str | None, Query(min_length=1)] = None,
        created_from: AwareDatetime | None = None,
        created_to: AwareDatetime | None = None,
        after: Annotated[str, Query(pattern=r"^[0-9]{0,18}$")] = "",
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> None:
        self.reference = reference
        self._from, self._to = created_from, created_to
        self._after, self._limit = int(after or 0), limit

    def span(self) -> Span:
        """The span asked for; PspError 400 unless both its ends are named."""
        if self._from is None or self._to is None:
            raise invalid("parameter_missing", "Name a reference, or created_from and created_to.")
        ends = (iso(ms(self._from)), iso(ms(self._to)))
        return Span(*ends, self._after, self._limit)


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
        call = request_pipeline.Call(self.account.id, operation, self.key or None, mark, steered)
        return _respond(await request_pipeline.perform(self.ctx, call, work))

    async def get(self, look: Callable[[], dict[str, Any]]) -> Response:
        """Run a GET through the gateway."""
        return _respond(await request_pipeline.read(self.ctx, lambda: answer(200, look())))

    async def one(self, cls: type[R], id: str) -> Response:
        """Answer with one of the caller's records."""
        db = self.ctx.db
        return await self.get(
            lambda: repository.show(db, repository.owned(db, cls, self.account.id, id))
        )

    async def many(self, cls: type[R], reference: str) -> Response:
        """Answer with the caller's records of a reference, oldest first, as `{"data": [...]}`."""
        db = self.ctx.db

        def look() -> dict[str, Any]:
            found = repository.by_reference(db, cls, reference, self.account.id)
            return {"data": [repository.show(db, record) for record in found]}

        return await self.get(look)

    async def listed(self, cls: type[R], wanted: "Listing") -> Response:
        """Answer with the caller's records of a reference, or else of a span of time."""
        if wanted.reference is not None:
            return await self.many(cls, wanted.reference)
        span, db = wanted.span(), self.ctx.db
        return await self.get(lambda: repository.window(db, cls, self.account.id, span))


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
Listed = Annotated[Listing, Depends()]
InContext = Annotated[Context, Depends(context)]
