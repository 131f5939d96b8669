"""Isolation of a sweep's rows: one that fails never stops the others."""

import logging
from collections.abc import Awaitable, Callable

from temporalio.service import RPCError

from integrator.observability import worker_metrics
from integrator.store.database import Store
from integrator.store.errors import StoreUnavailable
from integrator.store.models import TransactionRow
from integrator.store.transaction_search import SweptRows
from integrator.transactions.transaction_client import OUTAGE

log = logging.getLogger(__name__)


class RowIsolation:
    """Processes rows one by one; a row that fails is set aside and tried again ever later."""

    def __init__(self, store: Store, sweep: str) -> None:
        self._store = store
        self._sweep = sweep

    async def process(
        self, rows: SweptRows, action: Callable[[TransactionRow], Awaitable[object]]
    ) -> list[object]:
        """Return the action's results for the rows at which it succeeded.

        An outage of the store or of Temporal says nothing about a row: it is raised.
        """
        results: list[object] = []
        done: list[tuple[str, str]] = []
        for unreadable in rows.unreadable:
            await self.set_aside(unreadable.merchant_id, unreadable.key, unreadable.reason)
        for row in rows:
            try:
                results.append(await action(row))
            except Exception as error:
                if is_outage(error):
                    raise
                await self.set_aside(row.merchant_id, row.transaction_id, describe(error))
            else:
                done.append((row.merchant_id, row.transaction_id))
        await self.release(done)
        return results

    async def set_aside(self, merchant_id: str, key: str, reason: str) -> None:
        """Record that a row has failed."""
        worker_metrics.SWEEP_FAILURES.labels(self._sweep).inc()
        tries = await self._store.quarantine.record_failure(self._sweep, merchant_id, key, reason)
        log.error(
            "The sweep %r failed at %s of %s, %d times in a row: %s",
            *(self._sweep, key, merchant_id, tries, reason),
        )

    async def release(self, keys: list[tuple[str, str]]) -> None:
        """Record that rows were processed, of which some may have failed before."""
        if keys:
            failed = await self._store.quarantine.list_keys(self._sweep)
            await self._store.quarantine.remove(self._sweep, failed.intersection(keys))


def is_outage(error: Exception) -> bool:
    """Return whether an error says nothing about the row at which it was raised."""
    if isinstance(error, RPCError):
        return error.status in OUTAGE
    return isinstance(error, StoreUnavailable | OSError)


def describe(error: Exception) -> str:
    """Return the kind of an error; its message may contain a caller's data."""
    if isinstance(error, RPCError):
        return f"{type(error).__name__}: {error.status.name}"
    return type(error).__name__
