"""First step of reconciliation: import events whose notification never arrived."""

import logging
from collections.abc import Sequence

from activities.reconciliation.psp_account import PspAccount
from activities.reconciliation.time_slice import TimeSlice
from integrator.psp.types import ListedEvent, NotificationEvent
from integrator.store.database import Store
from integrator.transactions.notification_delivery import NotificationDelivery, NotificationMessage
from integrator.transactions.transaction_client import TransactionClient
from workflows.messages import StepReport

log = logging.getLogger(__name__)


class MissedEventImport:
    """Reads the PSP's list of events and imports those that are not stored yet."""

    def __init__(self, store: Store, transaction_client: TransactionClient) -> None:
        self._store = store
        self._delivery = NotificationDelivery(store, transaction_client)

    async def run(self, account: PspAccount, time_slice: TimeSlice) -> StepReport:
        """Continue where the last run stopped; the cursor is stored after every page."""
        settings_id = account.merchant.psp_settings_id
        cursor = (await self._store.reconciliation.get_progress(settings_id)).cursor
        listed = repaired = 0
        while True:
            page = await account.connection.list_events(cursor)
            listed += len(page.events)
            repaired += await self._import_new(account, page.events)
            counts = {"listed": listed, "repaired": repaired}
            if page.cursor is None or page.cursor == cursor:
                return StepReport(counts=counts)
            if not await self._store.reconciliation.advance_cursor(
                settings_id, cursor, page.cursor
            ):
                # Another worker has advanced further.
                return StepReport(counts=counts)
            cursor = page.cursor
            if not page.more or time_slice.expired:
                return StepReport(counts=counts, more=page.more)

    async def _import_new(self, account: PspAccount, events: Sequence[ListedEvent]) -> int:
        relevant = [
            (event, notification_event)
            for event in events
            for notification_event in event.notices
            if notification_event.relevant
        ]
        known_ids = await self._store.notifications.list_event_ids(
            account.merchant.psp_settings_id,
            {notification_event.event_id for _, notification_event in relevant},
        )
        new = [
            (event, notification_event)
            for event, notification_event in relevant
            if notification_event.event_id not in known_ids
        ]
        for event, notification_event in new:
            await self._store_and_deliver(account, event, notification_event)
        return len(new)

    async def _store_and_deliver(
        self, account: PspAccount, event: ListedEvent, notification_event: NotificationEvent
    ) -> None:
        message = NotificationMessage(account.merchant, "listed", event.raw)
        stored = await self._delivery.store_event(message, notification_event)
        try:
            await self._delivery.deliver(stored)
        except (ValueError, LookupError) as error:
            # Only this event is at fault, no outage: it stays stored and blocks no other.
            log.error("Event %d cannot be delivered: %s", stored.id, type(error).__name__)
