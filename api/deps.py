"""FastAPI dependencies of the endpoints."""

from typing import Annotated, cast

from fastapi import Depends, Path, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.auth import authentication
from api.context import Context
from integrator.psp import registry
from integrator.psp.port import Adapter
from integrator.store import Caller, RequestedTransaction

_bearer_scheme = HTTPBearer(
    auto_error=False,
    description="A token issued for this merchant account, or an access token of `/oauth/token`.",
)


async def _get_context(request: Request) -> Context:
    return cast(Context, request.app.state.context)


ContextDep = Annotated[Context, Depends(_get_context)]


async def authenticate_caller(
    request: Request,
    context: ContextDep,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer_scheme)],
) -> Caller:
    """Return the caller of the request. Raises `Unauthorized` and `RateLimited`."""
    token = credentials.credentials if credentials is not None else ""
    return await authentication.authenticate(context, request, token)


CallerDep = Annotated[Caller, Depends(authenticate_caller)]


async def _get_adapter(caller: CallerDep) -> Adapter:
    return registry.get_adapter(caller.merchant.psp)


AdapterDep = Annotated[Adapter, Depends(_get_adapter)]

TransactionIdPath = Annotated[
    str,
    Path(
        alias=authentication.TRANSACTION_ID_PARAMETER,
        description="The platform's id of the transaction",
    ),
]


async def _get_requested_transaction(
    caller: CallerDep, _id: TransactionIdPath
) -> RequestedTransaction | None:
    # Read together with the caller; the parameter documents the path in the OpenAPI document.
    return caller.requested


RequestedTransactionDep = Annotated[
    RequestedTransaction | None, Depends(_get_requested_transaction)
]
"""The caller's transaction that the path names, as stored."""
