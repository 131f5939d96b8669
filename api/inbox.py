"""PSP notifications: verified, stored, then handed to their transactions.

What cannot be handed over now stays in the store, from where the worker tries again.
"""

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime

from temporalio.service import RPCError

from api import merchant_settings
from api.context import Context
from api.errors import NotFound, NotGenuine
from contract import PaymentTransactionStatus
from contract.ids import is_transaction_id
from psp import registry
from psp.errors import NotificationRejected
from psp.port import Adapter
from psp.types import Approved, Notice
from runtime.rows import resuming
from store import Merchant, NewNotification, TransactionRow
from workflows.messages import NotificationSignal
from workflows.starts import read_state

log = logging.getLogger(__name__)

SIGNAL_SECONDS = 2.0


async def receive(
    context: Context, psp: str, psp_settings_id: str, headers: Mapping[str, str], raw: bytes
) -> None:
    """Take a notification in. After this has returned it is not lost."""
    merchant, adapter = await _addressee(context, psp, psp_settings_id)
    notices = await _verified(context, merchant, adapter, headers, raw)
    stored = [
        (notice, *await _store(context, merchant, notice, headers, raw))
        for notice in notices
        if notice.relevant
    ]
    for notice, id, transaction in stored:
        if not await _is_open(context, id):
            continue
        if not await _dispatch(context, notice, id, transaction):
            return  # Temporal is away; the others would only wait as well


async def _addressee(context: Context, psp: str, psp_settings_id: str) -> tuple[Merchant, Adapter]:
    merchant = await context.store.merchant_by_settings(psp, psp_settings_id)
    if merchant is None or await context.store.settings(merchant.id) is None:
        raise NotFound("No such notification address.")
    return merchant, registry.adapter(psp)


async def _verified(
    context: Context, merchant: Merchant, adapter: Adapter, headers: Mapping[str, str], raw: bytes
) -> list[Notice]:
    settings = await merchant_settings.load(context, merchant, adapter)
    try:
        return list(adapter.parse_notification(settings, headers, raw, datetime.now(UTC)))
    except NotificationRejected as error:
        context.rejected[merchant.psp] += 1
        log.warning(
            "Notification of %s for %s rejected (%d so far): %s",
            merchant.psp,
            merchant.id,
            context.rejected[merchant.psp],
            error,
        )
        raise NotGenuine from error


async def _store(
    context: Context, merchant: Merchant, notice: Notice, headers: Mapping[str, str], raw: bytes
) -> tuple[int, TransactionRow | None]:
    transaction = await context.store.find_transaction(
        merchant.id, psp=merchant.psp, reference=notice.reference, psp_ids=notice.psp_ids
    )
    id, _ = await context.store.store_notification(
        NewNotification(
            psp_settings_id=merchant.psp_settings_id,
            event_id=notice.event_id,
            merchant_id=merchant.id,
            raw=raw,
            psp_ids=notice.psp_ids,
            headers=headers,
            transaction_id=transaction.transaction_id if transaction else _own_id(notice),
        )
    )
    return id, transaction


def _own_id(notice: Notice) -> str | None:
    """A reference that could be ours; it may arrive before its transaction is stored."""
    return notice.reference if notice.reference and is_transaction_id(notice.reference) else None


async def _is_open(context: Context, id: int) -> bool:
    """A repetition of what was delivered before needs nothing."""
    row = await context.store.notification(id)
    return row is not None and row.state in ("stored", "parked")


async def _dispatch(
    context: Context, notice: Notice, id: int, transaction: TransactionRow | None
) -> bool:
    """Tell the transaction; False when Temporal is away, which leaves the notification stored."""
    if transaction is None:
        await context.store.set_notification(id, "parked")
        return True
    own = transaction.transaction_id
    if _is_known(notice, transaction):
        await context.store.set_notification(id, "known", transaction_id=own)
        return True
    signal = NotificationSignal(notification_id=id, event_id=notice.event_id)
    try:
        async with asyncio.timeout(SIGNAL_SECONDS):
            await context.gateway.notify(resuming(transaction), signal)
    except (TimeoutError, RuntimeError, RPCError) as error:
        log.warning("Notification %d waits: %s", id, type(error).__name__)
        return False
    await context.store.set_notification(id, "signalled", transaction_id=own)
    return True


def _is_known(notice: Notice, transaction: TransactionRow) -> bool:
    """Whether the stored state has it all; facts are never taken back, so an old state will do."""
    if notice.result is None:
        return False
    state = read_state(transaction.kind, transaction.snapshot)
    brings_instrument = isinstance(notice.result, Approved) and notice.result.instrument is not None
    if brings_instrument and state.status is not PaymentTransactionStatus.Succeeded:
        return False
    return state.knows(notice.result)
