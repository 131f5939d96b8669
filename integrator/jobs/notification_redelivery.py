"""Periodic redelivery of stored notifications to their transactions.

The API stores a notification, responds to the PSP and then signals the workflow. If the signal
fails (a crash, Temporal unavailable) or the transaction is not stored yet, the notification stays
undelivered and this job delivers it. Signalling twice is harmless.
"""

import logging
from datetime import UTC, datetime, timedelta

from integrator.observability import worker_metrics
from integrator.store.database import Store
from integrator.store.models import NotificationRow, TransactionRow
from integrator.transactions.notification_delivery import wake_open_descendants
from integrator.transactions.transaction_client import TransactionClient
from integrator.transactions.workflow_inputs import resume_input
from workflows.messages import NotificationSignal

log = logging.getLogger(__name__)

INTERVAL = timedelta(seconds=5)
GRACE_PERIOD = timedelta(seconds=5)
"""The API has this long to signal the workflow itself."""


class NotificationRedelivery:
    """Delivers stored notifications that have not reached their transactions."""

    def __init__(self, store: Store, transaction_client: TransactionClient) -> None:
        self._store = store
        self._transaction_client = transaction_client

    async def run(self, grace_period: timedelta = GRACE_PERIOD) -> int:
        """Deliver notifications unchanged for `grace_period`; return how many were delivered."""
        older_than = datetime.now(UTC) - grace_period
        delivered = 0
        for row in await self._store.notifications.list_pending(older_than=older_than):
            try:
                delivered += await self._deliver(row)
            except (ValueError, LookupError) as error:
                # Only this row is at fault, no outage: move it to the end so it blocks no other.
                log.error("Notification %d cannot be delivered: %s", row.id, type(error).__name__)
                await self._store.notifications.set_state(row.id, row.state, type(error).__name__)
        return delivered

    async def _deliver(self, row: NotificationRow) -> bool:
        transaction = await self._find_transaction(row)
        if transaction is None:
            await self._store.notifications.set_state(row.id, "parked")
            return False
        await wake_open_descendants(self._store, self._transaction_client, transaction)
        signal = NotificationSignal(notification_id=row.id, event_id=row.event_id)
        await self._transaction_client.notify(resume_input(transaction), signal)
        await self._store.notifications.set_state(
            row.id, "signalled", transaction_id=transaction.transaction_id
        )
        worker_metrics.NOTIFICATIONS_RECOVERED.inc()
        return True

    async def _find_transaction(self, row: NotificationRow) -> TransactionRow | None:
        merchant = await self._store.merchants.get(row.merchant_id)
        if merchant is None:
            return None
        return await self._store.transactions.find(
            row.merchant_id, psp=merchant.psp, reference=row.transaction_id, psp_ids=row.psp_ids
        )
