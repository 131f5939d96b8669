"""A merchant's account at its PSP, for work that belongs to no single transaction."""

from dataclasses import dataclass, field

import httpx
from pydantic import BaseModel
from temporalio.exceptions import ApplicationError

from integrator.observability.psp_metrics import InstrumentedConnection
from integrator.psp import registry
from integrator.psp.connecting import open_connection
from integrator.psp.integration_info import SettingsRefused, parse_settings
from integrator.psp.port import Adapter, Connection
from integrator.store.database import Store
from integrator.store.models import Merchant, TransactionRow
from workflows.messages import PspFailure


@dataclass(frozen=True)
class PspAccount:
    """A merchant, its adapter and a connection with the merchant's present settings."""

    merchant: Merchant
    adapter: Adapter
    connection: Connection
    store: Store
    http: httpx.AsyncClient = field(repr=False)

    async def connection_for(self, row: TransactionRow) -> Connection:
        """Connect with the settings of when the transaction was created: the account may differ."""
        return _connect(self.adapter, await self._settings_for(row), self.http)

    async def is_former(self, row: TransactionRow) -> bool:
        """Return whether the transaction belongs to other settings than the present ones."""
        present = await self.store.merchants.get_settings(self.merchant.id)
        return await self._settings_for(row) != present

    async def _settings_for(self, row: TransactionRow) -> dict[str, str]:
        values = await self.store.merchants.get_settings(self.merchant.id, row.created_at)
        return values or {}


async def open_account(
    store: Store, http: httpx.AsyncClient, merchant_id: str
) -> PspAccount | None:
    """Return the merchant's account; None while it has no settings."""
    merchant = await store.merchants.get(merchant_id)
    values = await store.merchants.get_settings(merchant_id)
    if merchant is None or values is None:
        return None
    adapter = registry.get_adapter(merchant.psp)
    connection = _connect(adapter, values, http)
    return PspAccount(merchant, adapter, connection, store, http)


def _connect(adapter: Adapter, values: dict[str, str], http: httpx.AsyncClient) -> Connection:
    return InstrumentedConnection(
        open_connection(adapter, _parse_settings(adapter, values), http), adapter.name
    )


def _parse_settings(adapter: Adapter, values: dict[str, str]) -> BaseModel:
    try:
        return parse_settings(adapter, values)
    except SettingsRefused as error:
        raise ApplicationError(
            str(error), type=PspFailure.CONFIGURATION, non_retryable=True
        ) from None
