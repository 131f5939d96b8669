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

from integrator.observability import worker_metrics
from integrator.store.database import Store
from integrator.store.models import TransactionRow
from integrator.transactions.transaction_client import TransactionClient
from integrator.transactions.workflow_inputs import first_start, resume_input

log = logging.getLogger(__name__)

EVERY = timedelta(minutes=1)
BEGIN_AFTER = timedelta(minutes=10)
"""Callers repeat a request whose answer was lost well before that."""
ANNOUNCE_AFTER = timedelta(minutes=1)
"""No answer takes that long; announcing what was answered after all does no harm."""


class OrphanSweeper:
    """Begins what nobody began and announces what nobody heard."""

    def __init__(self, store: Store, gateway: TransactionClient) -> None:
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
            if await self._gateway.ensure_started(first_start(row)):
                worker_metrics.ORPHANS.labels("begun").inc()
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
        closed = await self._gateway.closed_status(start)
        if closed is None:
            return
        worker_metrics.ORPHANS.labels("ended_in_temporal").inc()
        log.warning("%s %s was ended in Temporal: %s", row.kind, row.transaction_id, closed.name)
        if closed is WorkflowExecutionStatus.CANCELED:
            await self._gateway.ensure_started(start, again=True)
        else:
            await self._gateway.look_up(resume_input(row))

    async def announce(self, patience: timedelta = ANNOUNCE_AFTER) -> int:
        """Announce what was opened before `patience` and never answered."""
        rows = await self._store.untold_transactions(datetime.now(UTC) - patience)
        for row in rows:
            worker_metrics.ORPHANS.labels("announced").inc()
            log.warning("%s %s was never answered; announced", row.kind, row.transaction_id)
            await self._gateway.redeliver(resume_input(row))
            await self._store.mark_responded((row.merchant_id, row.transaction_id))
        return len(rows)
