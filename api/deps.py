"""How an endpoint obtains things; the only place that knows."""

from typing import Annotated, cast

from fastapi import Depends, Path, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.context import Context
from api.errors import Unauthorized
from psp import registry
from psp.port import Adapter
from store import Merchant

_bearer = HTTPBearer(auto_error=False, description="The token issued for this merchant account.")


def _context(request: Request) -> Context:
    return cast(Context, request.app.state.context)


ContextDep = Annotated[Context, Depends(_context)]


async def authenticated(
    context: ContextDep,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
) -> Merchant:
    """The merchant whose token the request carries. Raises `Unauthorized`."""
    found = None
    if credentials is not None and credentials.credentials:
        found = await context.store.authenticate(credentials.credentials)
    if found is None:
        raise Unauthorized
    merchant, token_id = found
    context.token_use.note(token_id)
    return merchant


MerchantDep = Annotated[Merchant, Depends(authenticated)]


def _adapter(merchant: MerchantDep) -> Adapter:
    return registry.adapter(merchant.psp)


AdapterDep = Annotated[Adapter, Depends(_adapter)]

TransactionIdPath = Annotated[
    str, Path(alias="transactionId", description="The platform's id of the transaction")
]
