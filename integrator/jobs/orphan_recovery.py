"""Periodic recovery of transactions whose request was interrupted.

The API creates the store's row, starts the workflow and sends the response. A crash in between,
without a repeated request, would leave a row without a workflow, or an outcome that no caller has
received. The first is started here: its workflow waits for the caller as usual, and ends with a
true status if none comes. The second is announced by a change notification. A workflow terminated
in Temporal before it recorded anything also leaves a row without a workflow.
"""

import logging
from datetime import UTC, datetime, timedelta

from temporalio.client import WorkflowExecutionStatus

from integrator.observability import worker_metrics
from integrator.store.database import Store
from integrator.store.models import TransactionRow
from integrator.store.transaction_search import ORPHANS
from integrator.transactions.row_isolation import RowIsolation
from integrator.transactions.transaction_client import TransactionClient
from integrator.transactions.workflow_inputs import initial_input, resume_input

log = logging.getLogger(__name__)

INTERVAL = timedelta(minutes=1)
START_AFTER = timedelta(minutes=10)
"""Callers repeat a request whose response was lost well before that."""
ANNOUNCE_AFTER = timedelta(minutes=1)
"""No response takes that long; announcing a transaction whose response was sent does no harm."""


class OrphanRecovery:
    """Starts transactions that were never started and announces outcomes no caller received."""

    def __init__(self, store: Store, transaction_client: TransactionClient) -> None:
        self._store = store
        self._transaction_client = transaction_client
        self._isolation = RowIsolation(store, ORPHANS)

    async def run(self) -> None:
        """Run both recoveries once."""
        await self.announce_unanswered()
        await self.start_unstarted()

    async def start_unstarted(self, grace_period: timedelta = START_AFTER) -> int:
        """Start workflows of rows older than `grace_period`; return the number of rows."""
        rows = await self._store.transaction_search.list_unstarted(datetime.now(UTC) - grace_period)
        return len(await self._isolation.process(rows, self._start))

    async def _start(self, row: TransactionRow) -> None:
        if not await self._transaction_client.ensure_started(initial_input(row)):
            await self._recover_closed(row)
            return
        worker_metrics.ORPHANS.labels("begun").inc()
        log.warning("%s %s was created and never started; started", row.kind, row.transaction_id)

    async def _recover_closed(self, row: TransactionRow) -> None:
        """Recover a transaction whose workflow closed early; an open workflow needs nothing.

        A cancelled workflow never ran, as running ones ignore cancellation: nothing was sent to
        the PSP. Any other may have sent something, so its outcome is looked up at the PSP.
        """
        start = initial_input(row)
        closed = await self._transaction_client.closed_status(start)
        if closed is None:
            return
        worker_metrics.ORPHANS.labels("ended_in_temporal").inc()
        log.warning("%s %s was closed in Temporal: %s", row.kind, row.transaction_id, closed.name)
        if closed is WorkflowExecutionStatus.CANCELED:
            await self._transaction_client.ensure_started(start, replace_failed=True)
        else:
            await self._transaction_client.look_up(resume_input(row))

    async def announce_unanswered(self, grace_period: timedelta = ANNOUNCE_AFTER) -> int:
        """Announce rows older than `grace_period` without a response; return their number."""
        rows = await self._store.transaction_search.list_unanswered(
            datetime.now(UTC) - grace_period
        )
        return len(await self._isolation.process(rows, self._announce))

    async def _announce(self, row: TransactionRow) -> None:
        worker_metrics.ORPHANS.labels("announced").inc()
        log.warning("%s %s never got a response; announced", row.kind, row.transaction_id)
        await self._transaction_client.redeliver(resume_input(row))
        await self._store.transactions.mark_responded((row.merchant_id, row.transaction_id))
