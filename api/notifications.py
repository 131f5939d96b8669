"""PSP notifications: verified, stored, then delivered to their transactions.

A notification that cannot be delivered now stays stored, and the worker retries it.
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

SIGNAL_TIMEOUT_SECONDS = 2.0

# Malformed addresses are refused before the look-up; a database may not accept their characters.
_PSP_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_UNSTORABLE_CHARACTERS = re.compile("[\x00\ud800-\udfff]")
_SETTINGS_ID = re.compile(r"[0-9a-f]{24}")


async def receive(
    context: Context, psp: str, psp_settings_id: str, headers: Mapping[str, str], raw: bytes
) -> None:
    """Verify, store and deliver a notification. Once this returns it is stored."""
    merchant, adapter = await _resolve_account(context, psp, psp_settings_id)
    await context.notification_limit.acquire(merchant.psp_settings_id)
    events = await _parse_events(context, merchant, adapter, headers, raw)
    message = notification_inbox.NotificationMessage(merchant, "notification", raw, headers)
    NOTIFICATIONS.labels(merchant.psp, "accepted").inc(len(events))
    stored_events = [
        await notification_inbox.store_event(context.store, message, event)
        for event in events
        if event.relevant
    ]
    for stored_event in stored_events:
        if not await notification_inbox.is_undelivered(context.store, stored_event.id):
            continue
        if not await _deliver(context, stored_event):
            return  # Temporal is unavailable: the remaining ones would time out as well


async def _resolve_account(
    context: Context, psp: str, psp_settings_id: str
) -> tuple[Merchant, Adapter]:
    if not (_PSP_NAME.fullmatch(psp) and _SETTINGS_ID.fullmatch(psp_settings_id)):
        raise NotFound("No such notification address.")
    merchant = await context.store.merchant_by_settings(psp, psp_settings_id)
    if merchant is None or await context.store.settings(merchant.id) is None:
        raise NotFound("No such notification address.")
    log_setup.bind(merchant=merchant.id, psp=merchant.psp)
    return merchant, registry.get_adapter(psp)


async def _parse_events(
    context: Context, merchant: Merchant, adapter: Adapter, headers: Mapping[str, str], raw: bytes
) -> list[NotificationEvent]:
    settings = merchant_settings.parse_saved_settings(
        adapter, await context.store.settings(merchant.id)
    )
    try:
        events = adapter.parse_notification(settings, headers, raw, datetime.now(UTC))
        return [_require_storable(event) for event in events]
    except NotificationRejected as error:
        context.rejected_notifications[merchant.psp] += 1
        NOTIFICATIONS.labels(merchant.psp, "rejected").inc()
        log.warning(
            "Notification of %s for %s rejected (%d so far): %s",
            merchant.psp,
            merchant.id,
            context.rejected_notifications[merchant.psp],
            error,
        )
        raise InvalidSignature from error


def _require_storable(event: NotificationEvent) -> NotificationEvent:
    """Refuse NUL and lone surrogates in searchable ids: no database can store them."""
    if _UNSTORABLE_CHARACTERS.search(
        "".join((event.event_id, event.reference or "", *event.psp_ids))
    ):
        raise NotificationRejected("An id contains characters that cannot be stored")
    return event


async def _deliver(context: Context, stored_event: StoredEvent) -> bool:
    """Deliver to the transaction; False if Temporal is unavailable (the event stays stored)."""
    try:
        async with asyncio.timeout(SIGNAL_TIMEOUT_SECONDS):
            await notification_inbox.deliver(
                context.store, context.transaction_client, stored_event
            )
    except (TimeoutError, RuntimeError, RPCError) as error:
        log.warning(
            "Notification %d was not delivered and will be retried: %s",
            stored_event.id,
            type(error).__name__,
        )
        return False
    return True
