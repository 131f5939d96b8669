"""Periodic recovery of transactions whose workflow is gone: terminated, deleted, or forgotten.

Operators can end a workflow in Temporal, and a namespace can be erased or restored from a backup.
What a transaction still has to do is in its row: it is undecided, or a change notification, the
information of its parent transaction or a void is due. Its workflow is started again from there. A
running workflow that has something due but lacks the row's state is behind it, and merges it.
"""

import logging
from datetime import UTC, datetime, timedelta

from temporalio.client import RPCTimeoutOrCancelledError, WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode

from integrator.observability import worker_metrics
from integrator.store.database import Store
from integrator.store.models import PageCursor, TransactionRow
from integrator.store.transaction_search import SweptRows
from integrator.transactions.parent_result import report_to_parent
from integrator.transactions.row_isolation import RowIsolation
from integrator.transactions.transaction_client import TransactionClient
from integrator.transactions.workflow_inputs import resume_input
from workflows.messages import DeliveryState
from workflows.state import TransactionKind

log = logging.getLogger(__name__)

INTERVAL = timedelta(seconds=30)
UNCHANGED_FOR = timedelta(minutes=1)
"""A younger change may still be on its way, and what is due is about to be done."""
COMPARE_EVERY = timedelta(minutes=10)
"""How often the running workflow of a row with work due is compared with it: a receiver of change
notifications may be down for days."""
BATCH = 500
"""Rows of one run, each of which costs a request to Temporal; the next run goes on after them."""
QUERY_TIMEOUT = timedelta(seconds=5)
_NEVER = datetime.min.replace(tzinfo=UTC)


class WorkflowRecovery:
    """Starts the workflows of open transactions that have none."""

    def __init__(self, store: Store, transaction_client: TransactionClient) -> None:
        self._store = store
        self._transaction_client = transaction_client
        self._work_due_after: PageCursor | None = None
        self._undecided_after: PageCursor | None = None
        self._isolation = RowIsolation(store, "recovery")
        self._compared_at: dict[tuple[str, str], datetime] = {}

    async def run(self) -> int:
        """Recover the next page of both lists; return how many transactions were not in order."""
        unchanged_since = datetime.now(UTC) - UNCHANGED_FOR
        search = self._store.transaction_search
        work_due = await search.list_with_work_due(
            unchanged_since, after=self._work_due_after, limit=BATCH
        )
        undecided = await search.list_undecided(
            unchanged_since, after=self._undecided_after, limit=BATCH
        )
        self._work_due_after = _next_position(work_due)
        self._undecided_after = _next_position(undecided)
        self._compared_at = {
            key: at
            for key, at in self._compared_at.items()
            if datetime.now(UTC) - at < COMPARE_EVERY
        }
        work_due.add(undecided)
        return sum(map(bool, await self._isolation.process(work_due, self._recover)))

    async def _recover(self, row: TransactionRow) -> bool:
        start = resume_input(row)
        try:
            closed = await self._transaction_client.closed_status(start)
            if closed is None:
                return await self._check_running(row)
            found = closed.name
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            if row.version == 0 and row.status == "Initiated":
                return False  # never started, perhaps: its caller may repeat the request
            found = "unknown"
        worker_metrics.ORPHANS.labels("ended_in_temporal").inc()
        log.warning(
            "The workflow of %s %s (%s, %s) is %s in Temporal; started again",
            *(row.kind, row.transaction_id, row.status, _describe_due(row), found),
        )
        await self._transaction_client.look_up(start)
        return True

    async def _check_running(self, row: TransactionRow) -> bool:
        """Send a running workflow what it has lost; return whether it lacked the row's state."""
        key, now = (row.merchant_id, row.transaction_id), datetime.now(UTC)
        nothing_due = row.announce_version is None and row.due_steps is None
        if nothing_due or now - self._compared_at.get(key, _NEVER) < COMPARE_EVERY:
            return False
        self._compared_at[key] = now
        if row.version == 0:
            # Its caller was answered; a workflow that was rewound to its start waits for it.
            await self._transaction_client.caller_detached(
                row.merchant_id, TransactionKind(row.kind), row.transaction_id
            )
            return False
        if not await self._is_behind(row):
            await self._check_announcement(row)
            if row.parent_due:
                await self._report_to_parent(row)
            return False
        worker_metrics.ORPHANS.labels("behind").inc()
        log.warning(
            "The workflow of %s %s is behind its row (%s); it merges the stored state",
            *(row.kind, row.transaction_id, _describe_due(row)),
        )
        # The look-up reports the stored version to the workflow.
        await self._transaction_client.look_up(resume_input(row))
        return True

    async def _check_announcement(self, row: TransactionRow) -> None:
        """Announce what the workflow was not asked to, and correct a row that is announced.

        The signal of a caller that was not answered may be lost with a backup of Temporal; a record
        may be written while the delivery of its version ends.
        """
        if row.announce_version is None:
            return
        key = (row.merchant_id, row.transaction_id)
        try:
            delivery = await self._transaction_client.delivery(
                row.merchant_id, TransactionKind(row.kind), row.transaction_id, QUERY_TIMEOUT
            )
        except (WorkflowQueryFailedError, RPCTimeoutOrCancelledError):
            return
        if delivery.state is not DeliveryState.IDLE:
            return
        if delivery.delivered_at is not None and delivery.announced >= row.announce_version:
            await self._store.deliveries.remove_due_announcement(*key, delivery.announced)
        else:
            await self._transaction_client.redeliver(resume_input(row))

    async def _report_to_parent(self, row: TransactionRow) -> None:
        """Report a result that the row names as due, and its workflow does not.

        That workflow was rewound, and found the result to be reported while it repeated its call.
        """
        await report_to_parent(self._store, self._transaction_client, row)
        await self._store.transactions.remove_due_parent(row.merchant_id, row.transaction_id)

    async def _is_behind(self, row: TransactionRow) -> bool:
        try:
            state = await self._transaction_client.state(
                row.merchant_id, TransactionKind(row.kind), row.transaction_id, QUERY_TIMEOUT
            )
        except (WorkflowQueryFailedError, RPCTimeoutOrCancelledError):
            return False
        return state.version < row.version


def _next_position(page: SweptRows) -> PageCursor | None:
    """Return where the next run goes on; None is the beginning."""
    return page.last if len(page) + len(page.unreadable) == BATCH else None


def _describe_due(row: TransactionRow) -> str:
    due = [*(["announcement"] if row.announce_version is not None else []), row.due_steps or ""]
    return "due: " + (", ".join(filter(None, due)) or "nothing")
