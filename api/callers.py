"""Who calls: static bearer tokens, and access tokens of OAuth clients."""

import hashlib
from dataclasses import dataclass

from fastapi import Request

from api.context import Context
from api.errors import Unauthorized
from api.rates import client_address
from api.token_use import Use
from runtime import logs
from store import Merchant


@dataclass(frozen=True)
class Caller:
    """A merchant, and the id of the token or client it came with."""

    merchant: Merchant
    id: str
    use: Use


async def authenticate(context: Context, request: Request, token: str) -> Merchant:
    """The merchant a token speaks for. Raises `Unauthorized` and `TooMany`."""
    address = client_address(request)
    client_id = context.access_tokens.client_of(token)
    credential = client_id or hashlib.sha256(token.encode()).hexdigest()
    await context.guests.admit(address, credential)
    caller = await _caller(context, token, client_id)
    if caller is None:
        await context.guests.refuse(address)
        raise Unauthorized
    context.guests.welcome(credential)
    await context.callers.take(caller.id)
    caller.use.note(caller.id)
    logs.tell(merchant=caller.merchant.id, psp=caller.merchant.psp)
    return caller.merchant


async def _caller(context: Context, token: str, client_id: str | None) -> Caller | None:
    """One question to the store, whichever kind of token: so a revocation is obeyed at once."""
    if client_id is not None:
        merchant = await context.store.merchant_by_client(client_id)
        return Caller(merchant, client_id, context.uses.clients) if merchant else None
    found = await context.store.authenticate(token) if token else None
    return Caller(*found, context.uses.tokens) if found else None
