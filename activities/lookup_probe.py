"""Read of a transaction at its PSP that only establishes whether the PSP answers."""

import asyncio
import logging

import httpx

from activities.psp_lookups import build_lookup, look_up, select_fetch
from integrator.observability.psp_metrics import InstrumentedConnection
from integrator.psp import registry
from integrator.psp.connecting import open_connection
from integrator.psp.errors import PspError
from integrator.psp.integration_info import SettingsRefused, parse_settings
from integrator.store.database import Store
from integrator.store.models import TransactionRow
from workflows import activity_plans
from workflows.state import TransactionKind

log = logging.getLogger(__name__)


class LookupProbe:
    """Repeats the look-up that failed, because a PSP may answer some of its calls and not others.

    It runs outside of the transaction's workflow, whose history does not grow by it.
    """

    def __init__(self, store: Store, http: httpx.AsyncClient) -> None:
        self._store = store
        self._http = http

    async def answers(self, row: TransactionRow) -> bool:
        """Return whether the PSP answers the look-up, with anything that the adapter can read."""
        adapter = registry.get_adapter(row.psp)
        values = await self._store.merchants.get_settings(row.merchant_id, row.created_at)
        lookup = await build_lookup(self._store, row, row.psp_transaction_id or row.psp_session_id)
        try:
            connection = InstrumentedConnection(
                open_connection(adapter, parse_settings(adapter, values or {}), self._http), row.psp
            )
            async with asyncio.timeout(activity_plans.PSP_ATTEMPT_TIMEOUT.total_seconds()):
                await look_up(adapter, select_fetch(connection, TransactionKind(row.kind)), lookup)
        except (PspError, SettingsRefused, TimeoutError) as error:
            log.info("PSP %s does not answer look-ups: %s", row.psp, type(error).__name__)
            return False
        return True
