"""Sees to it that every transaction that was opened gets its workflow.

The API opens the store's row and then starts the workflow. A crash or an outage in between, and a
caller who never repeats its request, would leave the row without one. The workflow that is begun
here waits for its caller as any other, and ends truthfully if nobody comes.
"""

import logging
from datetime import UTC, datetime, timedelta

from runtime.rows import first_start
from store.database import Store
from workflows.gateway import Gateway

log = logging.getLogger(__name__)

EVERY = timedelta(minutes=1)
PATIENCE = timedelta(minutes=10)
"""Callers repeat a request whose answer was lost well before that."""


class OrphanSweeper:
    """Begins the workflows that nobody began."""

    def __init__(self, store: Store, gateway: Gateway) -> None:
        self._store = store
        self._gateway = gateway

    async def sweep(self, patience: timedelta = PATIENCE) -> int:
        """Begin what has waited for `patience`; returns how many rows that were."""
        rows = await self._store.unstarted_transactions(datetime.now(UTC) - patience)
        for row in rows:
            log.warning("%s %s was opened and never begun", row.kind, row.transaction_id)
            await self._gateway.begin(first_start(row))
        return len(rows)
