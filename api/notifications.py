"""PSP notifications: verified, stored, then handed to their transactions.

What cannot be handed over now stays in the store, from where the worker tries again.
"""

import asyncio
import logging
import re
from collections.abc import Mapping
from datetime import UTC, datetime

from temporalio.service import RPCError

from api import merchant_settings
from api.context import Context
from api.errors import InvalidSignature, NotFound
from api.metrics import NOTIFICATIONS
from integrator.observability import log_setup
from integrator.psp import registry
from integrator.psp.errors import NotificationRejected
from integrator.psp.port import Adapter
from integrator.psp.types import NotificationEvent
from integrator.store import Merchant
from integrator.transactions import notification_inbox
from integrator.transactions.notification_inbox import StoredEvent

log = logging.getLogger(__name__)

SIGNAL_SECONDS = 2.0

# What is no address of ours is not looked for; a database need not be able to take it.
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NOT_TEXT = re.compile("[\x00\ud800-\udfff]")
_SETTINGS_ID = re.compile(r"[0-9a-f]{24}")


async def receive(
    context: Context, psp: str, psp_settings_id: str, headers: Mapping[str, str], raw: bytes
) -> None:
    """Take a notification in. After this has returned it is not lost."""
    merchant, adapter = await _resolve_account(context, psp, psp_settings_id)
    await context.notifications.take(merchant.psp_settings_id)
    notices = await _verified(context, merchant, adapter, headers, raw)
    message = notification_inbox.Message(merchant, "notification", raw, headers)
    NOTIFICATIONS.labels(merchant.psp, "accepted").inc(len(notices))
    stored = [
        await notification_inbox.store_event(context.store, message, notice)
        for notice in notices
        if notice.relevant
    ]
    for kept in stored:
        if not await notification_inbox.is_open(context.store, kept.id):
            continue
        if not await _deliver(context, kept):
            return  # Temporal is away; the others would only wait as well


async def _resolve_account(
    context: Context, psp: str, psp_settings_id: str
) -> tuple[Merchant, Adapter]:
    if not (_NAME.fullmatch(psp) and _SETTINGS_ID.fullmatch(psp_settings_id)):
        raise NotFound("No such notification address.")
    merchant = await context.store.merchant_by_settings(psp, psp_settings_id)
    if merchant is None or await context.store.settings(merchant.id) is None:
        raise NotFound("No such notification address.")
    log_setup.bind(merchant=merchant.id, psp=merchant.psp)
    return merchant, registry.adapter(psp)


async def _verified(
    context: Context, merchant: Merchant, adapter: Adapter, headers: Mapping[str, str], raw: bytes
) -> list[NotificationEvent]:
    settings = merchant_settings.ready(adapter, await context.store.settings(merchant.id))
    try:
        notices = adapter.parse_notification(settings, headers, raw, datetime.now(UTC))
        return [_storable(notice) for notice in notices]
    except NotificationRejected as error:
        context.rejected[merchant.psp] += 1
        NOTIFICATIONS.labels(merchant.psp, "rejected").inc()
        log.warning(
            "Notification of %s for %s rejected (%d so far): %s",
            merchant.psp,
            merchant.id,
            context.rejected[merchant.psp],
            error,
        )
        raise InvalidSignature from error


def _storable(notice: NotificationEvent) -> NotificationEvent:
    """Refuse NUL and lone surrogates in what is searched for: no database can hold them."""
    if _NOT_TEXT.search("".join((notice.event_id, notice.reference or "", *notice.psp_ids))):
        raise NotificationRejected("An id is no text")
    return notice


async def _deliver(context: Context, kept: StoredEvent) -> bool:
    """Tell the transaction; False when Temporal is away, which leaves the notification stored."""
    try:
        async with asyncio.timeout(SIGNAL_SECONDS):
            await notification_inbox.deliver(context.store, context.gateway, kept)
    except (TimeoutError, RuntimeError, RPCError) as error:
        log.warning("Notification %d waits: %s", kept.id, type(error).__name__)
        return False
    return True
