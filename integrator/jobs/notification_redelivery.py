"""Sees to it that every stored notification reaches its transaction.

The API stores a notification, answers the PSP and then signals the workflow. Whatever keeps that
signal from being sent (a crash, Temporal away) or its transaction from being known yet leaves the
row in the inbox; this sweeper picks it up. Signalling twice is harmless.
"""

import logging
from datetime import UTC, datetime, timedelta

from integrator.observability import worker_metrics
from integrator.store.database import Store
from integrator.store.models import NotificationRow, TransactionRow
from integrator.transactions.transaction_client import TransactionClient
from integrator.transactions.workflow_inputs import resume_input
from workflows.messages import NotificationSignal

log = logging.getLogger(__name__)

EVERY = timedelta(seconds=5)
PATIENCE = timedelta(seconds=5)
"""The API is given this long to signal by itself."""


class InboxSweeper:
    """Delivers what lies in the inbox, for as long as the worker runs."""

    def __init__(self, store: Store, gateway: TransactionClient) -> None:
        self._store = store
        self._gateway = gateway

    async def sweep(self, patience: timedelta = PATIENCE) -> int:
        """Deliver the notifications nobody touched for `patience`; returns how many."""
        older_than = datetime.now(UTC) - patience
        delivered = 0
        for row in await self._store.undelivered_notifications(older_than=older_than):
            try:
                delivered += await self._deliver(row)
            except (ValueError, LookupError) as error:
                # This row's own fault, no outage: to the end of the line, out of the way.
                log.error("Notification %d cannot be handed on: %s", row.id, type(error).__name__)
                await self._store.set_notification(row.id, row.state, type(error).__name__)
        return delivered

    async def _deliver(self, row: NotificationRow) -> bool:
        transaction = await self._transaction(row)
        if transaction is None:
            await self._store.set_notification(row.id, "parked")
            return False
        signal = NotificationSignal(notification_id=row.id, event_id=row.event_id)
        await self._gateway.notify(resume_input(transaction), signal)
        await self._store.set_notification(
            row.id, "signalled", transaction_id=transaction.transaction_id
        )
        worker_metrics.NOTIFICATIONS_RECOVERED.inc()
        return True

    async def _transaction(self, row: NotificationRow) -> TransactionRow | None:
        merchant = await self._store.merchant(row.merchant_id)
        if merchant is None:
            return None
        return await self._store.find_transaction(
            row.merchant_id, psp=merchant.psp, reference=row.transaction_id, psp_ids=row.psp_ids
        )
