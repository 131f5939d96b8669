"""Operator commands for a merchant's OAuth clients, on the configured database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from integrator.admin.errors import OperatorError
from integrator.admin.store_access import open_store
from integrator.settings import Settings
from integrator.store import OAuthClient, Store


async def add(settings: Settings, merchant: str, label: str) -> tuple[str, str]:
    """Create a client; return its id and secret; raises `OperatorError`."""
    async with _store(settings, merchant) as store:
        return await store.oauth_clients.add(merchant, label)


async def list_all(settings: Settings, merchant: str) -> list[OAuthClient]:
    """Return the merchant's clients, oldest first; raises `OperatorError`."""
    async with _store(settings, merchant) as store:
        return await store.oauth_clients.list_by_merchant(merchant)


async def revoke(settings: Settings, merchant: str, client_id: str) -> None:
    """Revoke a client and its access tokens; raises `OperatorError`."""
    async with _store(settings, merchant) as store:
        if not await store.oauth_clients.revoke(merchant, client_id):
            raise OperatorError(
                f"Merchant {merchant!r} has no valid client {client_id!r}; "
                f"`integrator client list {merchant}` shows all."
            )


@asynccontextmanager
async def _store(settings: Settings, merchant: str) -> AsyncIterator[Store]:
    """Open the store; raise `OperatorError` if the merchant does not exist."""
    async with open_store(settings) as store:
        if await store.merchants.get(merchant) is None:
            raise OperatorError(
                f"Merchant {merchant!r} does not exist; `integrator merchant list` shows all."
            )
        yield store
