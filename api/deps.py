"""How an endpoint obtains things; the only place that knows."""

from typing import Annotated, cast

from fastapi import Depends, Path, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api import callers
from api.context import Context
from psp import registry
from psp.port import Adapter
from store import Merchant

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
) -> Merchant:
    """The merchant whose token the request carries. Raises `Unauthorized` and `TooMany`."""
    token = credentials.credentials if credentials is not None else ""
    return await callers.authenticate(context, request, token)


MerchantDep = Annotated[Merchant, Depends(authenticated)]


async def _adapter(merchant: MerchantDep) -> Adapter:
    return registry.adapter(merchant.psp)


AdapterDep = Annotated[Adapter, Depends(_adapter)]

TransactionIdPath = Annotated[
    str, Path(alias="transactionId", description="The platform's id of the transaction")
]
