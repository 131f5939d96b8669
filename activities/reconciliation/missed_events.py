"""The first step of reconciliation: events whose notification never came."""

import logging
from collections.abc import Sequence

from activities.reconciliation.psp_account import Account
from activities.reconciliation.time_slice import Share
from integrator.psp.types import ListedEvent, NotificationEvent
from integrator.store.database import Store
from integrator.transactions import notification_inbox
from integrator.transactions.transaction_client import TransactionClient
from workflows.messages import StepReport

log = logging.getLogger(__name__)


class EventRepair:
    """Reads the PSP's list of events and takes in what the inbox has never seen."""

    def __init__(self, store: Store, gateway: TransactionClient) -> None:
        self._store = store
        self._gateway = gateway

    async def run(self, account: Account, share: Share) -> StepReport:
        """From where the last run stopped; the place is kept after every page."""
        settings_id = account.merchant.psp_settings_id
        cursor = (await self._store.progress(settings_id)).cursor
        listed = repaired = 0
        while True:
            page = await account.connection.list_events(cursor)
            listed += len(page.events)
            repaired += await self._take_in(account, page.events)
            counts = {"listed": listed, "repaired": repaired}
            if page.cursor is None or page.cursor == cursor:
                return StepReport(counts=counts)
            if not await self._store.advance_cursor(settings_id, cursor, page.cursor):
                # Another worker is at it and has come further.
                return StepReport(counts=counts)
            cursor = page.cursor
            if not page.more or share.used_up:
                return StepReport(counts=counts, more=page.more)

    async def _take_in(self, account: Account, events: Sequence[ListedEvent]) -> int:
        found = [(event, notice) for event in events for notice in event.notices if notice.relevant]
        known = await self._store.known_events(
            account.merchant.psp_settings_id, {notice.event_id for _, notice in found}
        )
        new = [(event, notice) for event, notice in found if notice.event_id not in known]
        for event, notice in new:
            await self._hand_on(account, event, notice)
        return len(new)

    async def _hand_on(
        self, account: Account, event: ListedEvent, notice: NotificationEvent
    ) -> None:
        message = notification_inbox.Message(account.merchant, "listed", event.raw)
        kept = await notification_inbox.store_event(self._store, message, notice)
        # Its notification may have come meanwhile.
        if await notification_inbox.is_open(self._store, kept.id):
            try:
                await notification_inbox.deliver(self._store, self._gateway, kept)
            except (ValueError, LookupError) as error:
                # This one's own fault, no outage: it stays in the inbox, out of the others' way.
                log.error("Event %d cannot be handed on: %s", kept.id, type(error).__name__)
