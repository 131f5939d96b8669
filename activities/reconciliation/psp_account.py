"""A merchant's account at its PSP, opened for work that belongs to no single transaction."""

from dataclasses import dataclass, field

import httpx
from pydantic import BaseModel
from temporalio.exceptions import ApplicationError

from integrator.observability.psp_metrics import InstrumentedConnection
from integrator.psp import registry
from integrator.psp.integration_info import SettingsRefused, parse_settings
from integrator.psp.port import Adapter, Connection
from integrator.store.database import Store
from integrator.store.models import Merchant, TransactionRow
from workflows.messages import PspFailure


@dataclass(frozen=True)
class Account:
    """Whose it is, what the PSP can do, and the way to it as the merchant uses it now."""

    merchant: Merchant
    adapter: Adapter
    connection: Connection
    store: Store
    http: httpx.AsyncClient = field(repr=False)

    async def connection_of(self, row: TransactionRow) -> Connection:
        """The way to a transaction, which the merchant may have begun on an account before."""
        values = await self.store.settings(self.merchant.id, row.created_at)
        return _watched(self.adapter, values or {}, self.http)


async def open_account(store: Store, http: httpx.AsyncClient, merchant_id: str) -> Account | None:
    """The merchant's account; None while it has no settings."""
    merchant = await store.merchant(merchant_id)
    values = await store.settings(merchant_id)
    if merchant is None or values is None:
        return None
    adapter = registry.adapter(merchant.psp)
    connection = _watched(adapter, values, http)
    return Account(merchant, adapter, connection, store, http)


async def reference_of(store: Store, row: TransactionRow, psp_id: str | None) -> str:
    """What the PSP knows an object by: our id, unless the object was made without us."""
    if psp_id is None:
        return row.transaction_id
    stray = await store.stray(row.psp_settings_id, psp_id)
    return (stray.reference if stray else None) or row.transaction_id


def _watched(adapter: Adapter, values: dict[str, str], http: httpx.AsyncClient) -> Connection:
    return InstrumentedConnection(adapter.connect(_parsed(adapter, values), http), adapter.name)


def _parsed(adapter: Adapter, values: dict[str, str]) -> BaseModel:
    try:
        return parse_settings(adapter, values)
    except SettingsRefused as error:
        raise ApplicationError(
            str(error), type=PspFailure.CONFIGURATION, non_retryable=True
        ) from None
