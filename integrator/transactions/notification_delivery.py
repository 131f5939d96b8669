"""Store a PSP's events and deliver them to their transactions.

The same for events sent by the PSP and for events read from its list of events.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from integrator.contract import PaymentTransactionStatus
from integrator.contract.ids import is_transaction_id
from integrator.psp.types import Approved, NotificationEvent
from integrator.store import (
    Merchant,
    NewNotification,
    NewNotificationMessage,
    NotificationSource,
    Store,
    TransactionRow,
)
from integrator.transactions.transaction_client import TransactionClient
from integrator.transactions.workflow_inputs import read_state, resume_input
from workflows.messages import NotificationSignal


@dataclass(frozen=True)
class NotificationMessage:
    """A received message; events without their own JSON are read again from `raw`."""

    merchant: Merchant
    source: NotificationSource
    raw: bytes = field(repr=False)
    headers: Mapping[str, str] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class StoredEvent:
    """An event stored under `id` and its transaction, if known; a repeated one is not new."""

    id: int
    is_new: bool
    event: NotificationEvent
    transaction: TransactionRow | None


class NotificationDelivery:
    """Stores events and signals their transactions."""

    def __init__(self, store: Store, transaction_client: TransactionClient) -> None:
        self._store = store
        self._transaction_client = transaction_client

    async def store_event(
        self, message: NotificationMessage, event: NotificationEvent
    ) -> StoredEvent:
        """Store one listed event; an existing one stays unchanged."""
        [transaction] = await self._find_transactions(message.merchant, [event])
        id, is_new = await self._store.notifications.add(_new_row(message, event, transaction))
        return StoredEvent(id, is_new, event, transaction)

    async def store_events(
        self, message: NotificationMessage, events: Sequence[NotificationEvent]
    ) -> list[StoredEvent]:
        """Store a message with its relevant and unreadable events, all or none of them.

        Returns the relevant ones. Those that are stored already stay unchanged.
        """
        kept = [event for event in events if event.relevant or event.unreadable]
        if not kept:
            return []
        found = await self._find_transactions(message.merchant, kept)
        rows = [_new_row(message, *pair) for pair in zip(kept, found, strict=True)]
        results = await self._store.notifications.add_all(rows, _message_row(message, events))
        return [
            StoredEvent(id, is_new, event, transaction)
            for event, transaction, (id, is_new) in zip(kept, found, results, strict=True)
            if event.relevant
        ]

    async def park_unknown(self, stored: Sequence[StoredEvent]) -> list[StoredEvent]:
        """Park the new events about no known transaction at once; return the others."""
        unknown = {one.id for one in stored if one.transaction is None and one.is_new}
        if unknown:
            await self._store.notifications.park_all(sorted(unknown))
        return [one for one in stored if one.id not in unknown]

    async def deliver(self, stored: StoredEvent) -> None:
        """Signal the transaction unless it received the event before or its state includes it.

        Raises what the transaction client raises; then the event stays undelivered.
        """
        if not stored.is_new and not await self._is_undelivered(stored.id):
            return
        if stored.transaction is None:
            await self._store.notifications.set_state(stored.id, "parked")
            return
        transaction_id = stored.transaction.transaction_id
        await wake_open_descendants(self._store, self._transaction_client, stored.transaction)
        if _state_includes(stored.event, stored.transaction):
            await self._store.notifications.set_state(
                stored.id, "known", transaction_id=transaction_id
            )
            return
        signal = NotificationSignal(notification_id=stored.id, event_id=stored.event.event_id)
        await self._transaction_client.notify(resume_input(stored.transaction), signal)
        await self._store.notifications.set_state(
            stored.id, "signalled", transaction_id=transaction_id
        )

    async def _find_transactions(
        self, merchant: Merchant, events: Sequence[NotificationEvent]
    ) -> list[TransactionRow | None]:
        objects = [(event.reference, event.psp_ids) for event in events]
        return await self._store.transactions.find_all(
            merchant.id, psp=merchant.psp, objects=objects
        )

    async def _is_undelivered(self, id: int) -> bool:
        row = await self._store.notifications.get(id)
        return row is not None and row.state in ("stored", "parked")


async def wake_open_descendants(
    store: Store, transaction_client: TransactionClient, transaction: TransactionRow
) -> None:
    """Have the open captures and refunds of a transaction looked up.

    A PSP may name only the parent when one of them changes; its own state then says nothing.
    """
    for row in await store.transaction_search.list_open_descendants(transaction):
        await transaction_client.look_up(resume_input(row))


def _new_row(
    message: NotificationMessage, event: NotificationEvent, transaction: TransactionRow | None
) -> NewNotification:
    """Return the row of an event: with its own JSON, else with the message and its headers."""
    merchant = message.merchant
    return NewNotification(
        psp_settings_id=merchant.psp_settings_id,
        event_id=event.event_id,
        merchant_id=merchant.id,
        raw=message.raw if event.raw is None else event.raw,
        psp_ids=event.psp_ids,
        headers=message.headers if event.raw is None else None,
        transaction_id=transaction.transaction_id if transaction else _own_reference(event),
        source=message.source,
        agreement_id=transaction.agreement_id if transaction else None,
        unreadable=event.unreadable,
    )


def _message_row(
    message: NotificationMessage, events: Sequence[NotificationEvent]
) -> NewNotificationMessage:
    return NewNotificationMessage(
        psp_settings_id=message.merchant.psp_settings_id,
        merchant_id=message.merchant.id,
        digest=hashlib.sha256(message.raw).hexdigest(),
        size=len(message.raw),
        events=len(events),
        unreadable=sum(event.unreadable for event in events),
        headers=message.headers or {},
    )


def _own_reference(event: NotificationEvent) -> str | None:
    """Return the reference if it has our format: the event may precede its transaction's row."""
    return event.reference if event.reference and is_transaction_id(event.reference) else None


def _state_includes(event: NotificationEvent, transaction: TransactionRow) -> bool:
    """Check whether the stored state includes the event; facts only grow: an old state will do."""
    if event.result is None:
        return False
    state = read_state(transaction.kind, transaction.snapshot)
    brings_instrument = isinstance(event.result, Approved) and event.result.instrument is not None
    if brings_instrument and state.status is not PaymentTransactionStatus.Succeeded:
        return False
    return state.already_includes(event.result)
