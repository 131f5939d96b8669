"""PSP notifications: verified, stored, then delivered to their transactions.

A notification that cannot be delivered now stays stored, and the worker retries it.
"""

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from temporalio.service import RPCError

from api import merchant_settings
from api.context import Context
from api.errors import InvalidSignature, NotFound, RequestRejected
from api.metrics import NOTIFICATIONS
from api.request_body import MAX_BODY_BYTES
from integrator.observability import log_setup
from integrator.psp import registry
from integrator.psp.errors import NotificationRejected
from integrator.psp.port import Adapter
from integrator.psp.toolkit.notifications import unreadable_event
from integrator.psp.types import NotificationEvent
from integrator.store import Merchant
from integrator.transactions.notification_delivery import NotificationMessage

log = logging.getLogger(__name__)

SIGNAL_TIMEOUT_SECONDS = 2.0

# Malformed addresses are refused before the look-up; a database may not accept their characters.
_PSP_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_UNSTORABLE_CHARACTERS = re.compile("[\x00\ud800-\udfff]")
_MAX_ID_BYTES = 1024
_SETTINGS_ID = re.compile(r"[0-9a-f]{24}")


async def receive(
    context: Context, psp: str, psp_settings_id: str, headers: Mapping[str, str], raw: bytes
) -> None:
    """Verify, store and deliver a notification. Once this returns it is stored."""
    merchant, adapter, settings = await _find_account(context, psp, psp_settings_id)
    await context.notification_limit.acquire(merchant.psp_settings_id)
    events = await _verify(context, merchant, adapter, settings, headers, raw)
    message = NotificationMessage(merchant, "notification", raw, headers)
    delivery = context.notification_delivery
    stored_events = await delivery.store_events(message, events)
    for stored_event in await delivery.park_unknown(stored_events):
        try:
            async with asyncio.timeout(SIGNAL_TIMEOUT_SECONDS):
                await delivery.deliver(stored_event)
        except (TimeoutError, RuntimeError, RPCError) as error:
            log.warning(
                "Notification %d was not delivered and will be retried: %s",
                stored_event.id,
                type(error).__name__,
            )
            return  # Temporal is unavailable: the remaining ones would time out as well
        except (ValueError, LookupError) as error:
            # Only this event is at fault: it stays stored, and the others are delivered.
            log.error(
                "Notification %d cannot be delivered: %s", stored_event.id, type(error).__name__
            )


def max_body_bytes(psp: str) -> int:
    """Return the size of the largest notification that is read from a PSP."""
    if not _PSP_NAME.fullmatch(psp):
        return MAX_BODY_BYTES
    try:
        return registry.get_adapter(psp).capabilities.max_notification_bytes
    except registry.UnknownPsp:
        return MAX_BODY_BYTES  # read and rejected like any other unknown address


async def _find_account(
    context: Context, psp: str, psp_settings_id: str
) -> tuple[Merchant, Adapter, Mapping[str, str]]:
    """Return the merchant that the address belongs to, with its adapter and PSP settings."""
    if not (_PSP_NAME.fullmatch(psp) and _SETTINGS_ID.fullmatch(psp_settings_id)):
        raise NotFound("No such notification address.")
    merchant = await context.store.merchants.find_by_settings_id(psp, psp_settings_id)
    settings = (
        await context.store.merchants.get_settings(merchant.id) if merchant is not None else None
    )
    if merchant is None or settings is None:
        raise NotFound("No such notification address.")
    log_setup.bind(merchant=merchant.id, psp=merchant.psp)
    return merchant, registry.get_adapter(psp), settings


async def _verify(
    context: Context,
    merchant: Merchant,
    adapter: Adapter,
    settings: Mapping[str, str],
    headers: Mapping[str, str],
    raw: bytes,
) -> list[NotificationEvent]:
    """Return the events of a notification whose signature is valid; raise `InvalidSignature`.

    After a switch to another account of the PSP, the former one signs with its own secret.
    """
    try:
        accepted = _parse(adapter, settings, headers, raw)
    except NotificationRejected as error:
        former = await context.store.merchants.list_former_settings(merchant.id)
        events = _parse_with_former(adapter, former, headers, raw)
        if events is None:
            _report_rejection(context, merchant, error)
            raise InvalidSignature from error
        accepted = events
    unreadable = sum(event.unreadable for event in accepted)
    NOTIFICATIONS.labels(merchant.psp, "accepted").inc(len(accepted) - unreadable)
    NOTIFICATIONS.labels(merchant.psp, "unreadable").inc(unreadable)
    if unreadable:
        log.error(
            "%d of %d events of a notification of %s cannot be read; they are kept",
            unreadable,
            len(accepted),
            merchant.psp,
        )
    return accepted


def _parse(
    adapter: Adapter, settings: Mapping[str, str], headers: Mapping[str, str], raw: bytes
) -> list[NotificationEvent]:
    parsed_settings = merchant_settings.parse_saved_settings(adapter, settings)
    events = adapter.parse_notification(parsed_settings, headers, raw, datetime.now(UTC))
    return [_make_storable(event, raw) for event in events]


def _parse_with_former(
    adapter: Adapter,
    former: Sequence[Mapping[str, str]],
    headers: Mapping[str, str],
    raw: bytes,
) -> list[NotificationEvent] | None:
    """Return the events of a notification that a former account has signed, or None."""
    for settings in former:
        try:
            return _parse(adapter, settings, headers, raw)
        except (NotificationRejected, RequestRejected):
            continue  # another account's, or settings that this version cannot read any more
    return None


def _report_rejection(context: Context, merchant: Merchant, error: NotificationRejected) -> None:
    context.rejected_notifications[merchant.psp] += 1
    NOTIFICATIONS.labels(merchant.psp, "rejected").inc()
    log.warning(
        "Notification of %s for %s rejected (%d so far): %s",
        merchant.psp,
        merchant.id,
        context.rejected_notifications[merchant.psp],
        error,
    )


def _make_storable(event: NotificationEvent, body: bytes) -> NotificationEvent:
    """Return the event, as unreadable if an id of it cannot be stored: the others are processed.

    No database stores NUL and lone surrogates, and none indexes an id of any length.
    """
    ids = (event.event_id, event.reference or "", *event.psp_ids)
    if not _UNSTORABLE_CHARACTERS.search("".join(ids)) and (
        max(len(id.encode()) for id in ids) <= _MAX_ID_BYTES
    ):
        return event
    return unreadable_event(event.raw or f"{event.event_id!r} in ".encode() + body)
