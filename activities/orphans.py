"""Takes care of transactions whose caller was lost on the way in or on the way out.

The API opens the store's row, starts the workflow and sends the answer. A crash in between, and a
caller who never repeats its request, would leave a row without a workflow or an outcome that
nobody has heard of. The first is begun here: it waits for its caller as any other, and ends
truthfully if nobody comes. The second is announced. A workflow that somebody has ended in Temporal
before it recorded anything leaves such a row, too.
"""

import logging
from datetime import UTC, datetime, timedelta

from temporalio.client import WorkflowExecutionStatus

from activities import metrics
from runtime.rows import first_start, resuming
from store.database import Store
from store.rows import TransactionRow
from workflows.gateway import Gateway

log = logging.getLogger(__name__)

EVERY = timedelta(minutes=1)
BEGIN_AFTER = timedelta(minutes=10)
"""Callers repeat a request whose answer was lost well before that."""
ANNOUNCE_AFTER = timedelta(minutes=1)
"""No answer takes that long; announcing what was answered after all does no harm."""


class OrphanSweeper:
    """Begins what nobody began and announces what nobody heard."""

    def __init__(self, store: Store, gateway: Gateway) -> None:
        self._store = store
        self._gateway = gateway

    async def sweep(self) -> None:
        """One round of both."""
        await self.announce()
        await self.begin()

    async def begin(self, patience: timedelta = BEGIN_AFTER) -> int:
        """Begin what has waited for `patience`; returns how many rows that were."""
        rows = await self._store.unstarted_transactions(datetime.now(UTC) - patience)
        for row in rows:
            if await self._gateway.begin(first_start(row)):
                metrics.ORPHANS.labels("begun").inc()
                log.warning("%s %s was opened and never begun", row.kind, row.transaction_id)
            else:
                await self._go_on(row)
        return len(rows)

    async def _go_on(self, row: TransactionRow) -> None:
        """Nothing to do for one that is open: it waits for its caller, the PSP or the store.

        One that was cancelled never ran, for those that run ignore it; so nothing was sent. Any
        other may have sent, and what came of it the PSP has to be asked.
        """
        start = first_start(row)
        closed = await self._gateway.closed_as(start)
        if closed is None:
            return
        metrics.ORPHANS.labels("ended_in_temporal").inc()
        log.warning("%s %s was ended in Temporal: %s", row.kind, row.transaction_id, closed.name)
        if closed is WorkflowExecutionStatus.CANCELED:
            await self._gateway.begin(start, again=True)
        else:
            await self._gateway.look_up(resuming(row))

    async def announce(self, patience: timedelta = ANNOUNCE_AFTER) -> int:
        """Announce what was opened before `patience` and never answered."""
        rows = await self._store.untold_transactions(datetime.now(UTC) - patience)
        for row in rows:
            metrics.ORPHANS.labels("announced").inc()
            log.warning("%s %s was never answered; announced", row.kind, row.transaction_id)
            await self._gateway.redeliver(resuming(row))
            await self._store.mark_told((row.merchant_id, row.transaction_id))
        return len(rows)
