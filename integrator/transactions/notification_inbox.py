"""The way of a PSP's event into the inbox and on to its transaction.

The same for one that the PSP sent and for one that was found in its list of events.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from integrator.contract import PaymentTransactionStatus
from integrator.contract.ids import is_transaction_id
from integrator.psp.types import Approved, NotificationEvent
from integrator.store import Merchant, NewNotification, NotificationSource, Store, TransactionRow
from integrator.transactions.transaction_client import TransactionClient
from integrator.transactions.workflow_inputs import read_state, resume_input
from workflows.messages import NotificationSignal


@dataclass(frozen=True)
class Message:
    """What came in: `raw` is read again by the transaction's workflow, according to `source`."""

    merchant: Merchant
    source: NotificationSource
    raw: bytes = field(repr=False)
    headers: Mapping[str, str] | None = field(default=None, repr=False)


@dataclass(frozen=True)
class StoredEvent:
    """An event in the inbox under `id`, and the transaction it is about, if that is known."""

    id: int
    notice: NotificationEvent
    transaction: TransactionRow | None


async def store_event(store: Store, message: Message, notice: NotificationEvent) -> StoredEvent:
    """Store one event of a message; one that is there already stays as it is."""
    merchant = message.merchant
    transaction = await store.find_transaction(
        merchant.id, psp=merchant.psp, reference=notice.reference, psp_ids=notice.psp_ids
    )
    id, _ = await store.store_notification(
        NewNotification(
            psp_settings_id=merchant.psp_settings_id,
            event_id=notice.event_id,
            merchant_id=merchant.id,
            raw=message.raw,
            psp_ids=notice.psp_ids,
            headers=message.headers,
            transaction_id=transaction.transaction_id if transaction else _own_id(notice),
            source=message.source,
            agreement_id=transaction.agreement_id if transaction else None,
        )
    )
    return StoredEvent(id, notice, transaction)


async def is_open(store: Store, id: int) -> bool:
    """A repetition of what was delivered before needs nothing."""
    row = await store.notification(id)
    return row is not None and row.state in ("stored", "parked")


async def deliver(store: Store, gateway: TransactionClient, kept: StoredEvent) -> None:
    """Tell the transaction, unless it knows; raises what the gateway raises, and stays stored."""
    if kept.transaction is None:
        await store.set_notification(kept.id, "parked")
        return
    own = kept.transaction.transaction_id
    if _is_known(kept.notice, kept.transaction):
        await store.set_notification(kept.id, "known", transaction_id=own)
        return
    signal = NotificationSignal(notification_id=kept.id, event_id=kept.notice.event_id)
    await gateway.notify(resume_input(kept.transaction), signal)
    await store.set_notification(kept.id, "signalled", transaction_id=own)


def _own_id(notice: NotificationEvent) -> str | None:
    """A reference that could be ours; it may arrive before its transaction is stored."""
    return notice.reference if notice.reference and is_transaction_id(notice.reference) else None


def _is_known(notice: NotificationEvent, transaction: TransactionRow) -> bool:
    """Whether the stored state has it all; facts are never taken back, so an old state will do."""
    if notice.result is None:
        return False
    state = read_state(transaction.kind, transaction.snapshot)
    brings_instrument = isinstance(notice.result, Approved) and notice.result.instrument is not None
    if brings_instrument and state.status is not PaymentTransactionStatus.Succeeded:
        return False
    return state.already_includes(notice.result)
