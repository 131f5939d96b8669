"""What an operator does with the OAuth clients of a merchant, on the configured database."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from integrator.admin.errors import OperatorError
from integrator.crypto.keys import KeyRing
from integrator.settings import Settings
from integrator.store import OAuthClient, Store


async def add(settings: Settings, merchant: str, label: str) -> tuple[str, str]:
    """A new client's id and secret; raises `OperatorError`."""
    async with _store(settings, merchant) as store:
        return await store.add_client(merchant, label)


async def every(settings: Settings, merchant: str) -> list[OAuthClient]:
    """The merchant's clients, oldest first; raises `OperatorError`."""
    async with _store(settings, merchant) as store:
        return await store.clients(merchant)


async def revoke(settings: Settings, merchant: str, client_id: str) -> None:
    """End a client's validity and that of its access tokens; raises `OperatorError`."""
    async with _store(settings, merchant) as store:
        if not await store.revoke_client(merchant, client_id):
            raise OperatorError(
                f"Merchant {merchant!r} has no valid client {client_id!r}; "
                f"`integrator client list {merchant}` shows them."
            )


@asynccontextmanager
async def _store(settings: Settings, merchant: str) -> AsyncIterator[Store]:
    """The store, when it knows the merchant."""
    async with Store(settings.resolved_database_url, KeyRing.from_settings(settings)) as store:
        if await store.merchant(merchant) is None:
            raise OperatorError(
                f"There is no merchant {merchant!r}; `integrator merchant list` shows them."
            )
        yield store
