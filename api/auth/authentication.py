"""Who calls: static bearer tokens, and access tokens of OAuth clients."""

import hashlib

from fastapi import Request

from api.auth.rate_limits import client_address
from api.context import Context
from api.errors import Unauthorized
from integrator.contract.ids import is_transaction_id
from integrator.observability import log_setup
from integrator.store import Caller

TRANSACTION_ID = "transactionId"
"""How paths name the transaction."""


async def authenticate(context: Context, request: Request, token: str) -> Caller:
    """The merchant a token speaks for, with the transaction that is to be read.

    Raises `Unauthorized` and `TooMany`.
    """
    address = client_address(request)
    client_id = context.access_tokens.client_of(token)
    credential = client_id or hashlib.sha256(token.encode()).hexdigest()
    await context.guests.check(address, credential)
    caller = await _caller(context, token, client_id, _asked_id(request))
    if caller is None:
        await context.guests.record_failure(address)
        raise Unauthorized
    context.guests.trust(credential)
    await context.callers.take(caller.proof)
    (context.uses.clients if client_id else context.uses.tokens).note(caller.proof)
    log_setup.bind(merchant=caller.merchant.id, psp=caller.merchant.psp)
    return caller


async def _caller(
    context: Context, token: str, client_id: str | None, asked_id: str | None
) -> Caller | None:
    """One question to the store, whichever kind of token: so a revocation is obeyed at once."""
    if client_id is not None:
        return await context.store.caller_by_client(client_id, asked_id)
    return await context.store.caller_by_token(token, asked_id) if token else None


def _asked_id(request: Request) -> str | None:
    """The transaction to be read; what is malformed is not looked for."""
    id = str(request.path_params.get(TRANSACTION_ID, ""))
    if request.method != "GET" or not is_transaction_id(id):
        return None
    log_setup.bind(transaction_id=id)
    return id
