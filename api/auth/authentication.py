"""Authentication of callers: static bearer tokens and access tokens of OAuth clients."""

import hashlib

from fastapi import Request

from api.auth.rate_limits import client_address
from api.context import Context
from api.errors import Unauthorized
from integrator.contract.ids import is_transaction_id
from integrator.observability import log_setup
from integrator.store import Caller

TRANSACTION_ID_PARAMETER = "transactionId"
"""Name of the path parameter with the transaction id."""


async def authenticate(context: Context, request: Request, token: str) -> Caller:
    """Return the merchant of a token, with the transaction that the path names.

    Raises `Unauthorized` and `RateLimited`.
    """
    address = client_address(request)
    client_id = context.access_tokens.verify(token)
    credential = client_id or hashlib.sha256(token.encode()).hexdigest()
    await context.failed_auth_limit.check(address, credential)
    caller = await _look_up_caller(context, token, client_id, _read_requested_id(request))
    if caller is None:
        await context.failed_auth_limit.record_failure(address)
        raise Unauthorized
    context.failed_auth_limit.trust(credential)
    await context.caller_limit.acquire(caller.credential_id)
    (context.token_usage.clients if client_id else context.token_usage.tokens).record(
        caller.credential_id
    )
    log_setup.bind(merchant=caller.merchant.id, psp=caller.merchant.psp)
    return caller


async def _look_up_caller(
    context: Context, token: str, client_id: str | None, requested_id: str | None
) -> Caller | None:
    """Look up the caller; one query for either kind of token, so a revocation counts at once."""
    if client_id is not None:
        return await context.store.callers.find_by_client(client_id, requested_id)
    return await context.store.callers.find_by_token(token, requested_id) if token else None


def _read_requested_id(request: Request) -> str | None:
    """Return the id of the transaction to read; None for a malformed id."""
    id = str(request.path_params.get(TRANSACTION_ID_PARAMETER, ""))
    if request.method != "GET" or not is_transaction_id(id):
        return None
    log_setup.bind(transaction_id=id)
    return id
