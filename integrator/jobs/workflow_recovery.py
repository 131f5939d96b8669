"""Periodic recovery of transactions whose workflow is gone: terminated, deleted, or forgotten.

Operators can end a workflow in Temporal, and a namespace can be erased or restored from a backup.
What a transaction still has to do is in its row: it is undecided, or a change notification, the
information of its parent transaction or a void is due. Its workflow is started again from there.
"""

import logging
from datetime import UTC, datetime, timedelta

from temporalio.service import RPCError, RPCStatusCode

from integrator.observability import worker_metrics
from integrator.store.database import Store
from integrator.store.models import PageCursor, TransactionRow
from integrator.transactions.transaction_client import TransactionClient
from integrator.transactions.workflow_inputs import resume_input

log = logging.getLogger(__name__)

INTERVAL = timedelta(seconds=30)
UNCHANGED_FOR = timedelta(minutes=1)
"""A younger change may still be on its way, and what is due is about to be done."""
BATCH = 500
"""Rows of one run, each of which costs a request to Temporal; the next run goes on after them."""
OUTAGE = (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED)


class WorkflowRecovery:
    """Starts the workflows of open transactions that have none."""

    def __init__(self, store: Store, transaction_client: TransactionClient) -> None:
        self._store = store
        self._transaction_client = transaction_client
        self._position: PageCursor | None = None

    async def run(self, unchanged_for: timedelta = UNCHANGED_FOR) -> int:
        """Recover what is due and the next undecided ones; return how many were started."""
        unchanged_since = datetime.now(UTC) - unchanged_for
        search = self._store.transaction_search
        work_due = await search.list_with_work_due(unchanged_since, BATCH)
        undecided = await search.list_undecided(unchanged_since, after=self._position, limit=BATCH)
        self._position = undecided[-1].cursor if len(undecided) == BATCH else None
        started = 0
        rows = {(row.merchant_id, row.transaction_id): row for row in work_due + undecided}
        for row in rows.values():
            try:
                started += await self._recover(row)
            except (ValueError, LookupError, RPCError) as error:
                if isinstance(error, RPCError) and error.status in OUTAGE:
                    raise
                # Only this row is at fault: the others are recovered all the same.
                worker_metrics.SWEEP_FAILURES.labels("recovery").inc()
                log.error(
                    "%s %s cannot be recovered: %s",
                    *(row.kind, row.transaction_id, type(error).__name__),
                )
        return started

    async def _recover(self, row: TransactionRow) -> bool:
        start = resume_input(row)
        try:
            closed = await self._transaction_client.closed_status(start)
            if closed is None:
                return False
            found = closed.name
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            found = "unknown"
        worker_metrics.ORPHANS.labels("ended_in_temporal").inc()
        log.warning(
            "The workflow of %s %s (%s, %s) is %s in Temporal; started again",
            *(row.kind, row.transaction_id, row.status, _describe_due(row), found),
        )
        await self._transaction_client.look_up(start)
        return True


def _describe_due(row: TransactionRow) -> str:
    due = [*(["announcement"] if row.announce_version is not None else []), row.due_steps or ""]
    return "due: " + (", ".join(filter(None, due)) or "nothing")
