"""How an endpoint obtains things; the only place that knows."""

from typing import Annotated, cast

from fastapi import Depends, Path, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.auth import authentication
from api.context import Context
from integrator.psp import registry
from integrator.psp.port import Adapter
from integrator.store import Caller, RequestedTransaction

_bearer = HTTPBearer(
    auto_error=False,
    description="A token issued for this merchant account, or an access token of `/oauth/token`.",
)


async def _context(request: Request) -> Context:
    return cast(Context, request.app.state.context)


ContextDep = Annotated[Context, Depends(_context)]


async def authenticated(
    request: Request,
    context: ContextDep,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Caller:
    """Whose token the request carries. Raises `Unauthorized` and `TooMany`."""
    token = credentials.credentials if credentials is not None else ""
    return await authentication.authenticate(context, request, token)


CallerDep = Annotated[Caller, Depends(authenticated)]


async def _adapter(caller: CallerDep) -> Adapter:
    return registry.adapter(caller.merchant.psp)


AdapterDep = Annotated[Adapter, Depends(_adapter)]

TransactionIdPath = Annotated[
    str,
    Path(alias=authentication.TRANSACTION_ID, description="The platform's id of the transaction"),
]


async def _asked(caller: CallerDep, _id: TransactionIdPath) -> RequestedTransaction | None:
    # It came along with the caller; the id is here for the document of the API.
    return caller.asked


AskedDep = Annotated[RequestedTransaction | None, Depends(_asked)]
"""The caller's transaction that the path names, as the store has it."""
