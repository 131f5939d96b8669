"""Webhooks of the PSP; only their id and time are signed, so that they are only hints.

The signature covers neither the event type nor the ids of the objects: the state is fetched.
Repetitions carry the time of the event (not confirmed by the PSP) and are sent for days. A replay
only causes another look-up and is recognised by its id. So an old time is accepted, but not one in
the future.
"""

import logging
from collections.abc import Sequence
from datetime import datetime

from pydantic import SecretStr, ValidationError

from integrator.psp.billwerk_pay.mapping import movement_id
from integrator.psp.billwerk_pay.wire import Notification, UnreadableTimestamp
from integrator.psp.errors import NotificationRejected
from integrator.psp.toolkit.notifications import keep_raw, unreadable_event
from integrator.psp.toolkit.secrets import split_secrets
from integrator.psp.toolkit.signatures import require_hmac_sha256, require_past
from integrator.psp.toolkit.wire import read_json_object
from integrator.psp.types import NotificationEvent

log = logging.getLogger(__name__)


def parse(secrets: SecretStr, body: bytes, now: datetime) -> Sequence[NotificationEvent]:
    """Verify a notification and return its event. Raises `NotificationRejected`."""
    notification = _read(body)
    require_hmac_sha256(
        split_secrets(secrets),
        f"{notification.timestamp}{notification.id}".encode(),
        [notification.signature],
    )
    try:
        require_past(notification.at, now)
    except UnreadableTimestamp:
        return [unreadable_event(body)]
    return keep_raw([_to_notification_event(notification)], body)


def read_event(raw: bytes) -> Sequence[NotificationEvent]:
    """Read a notification that was verified. Raises `NotificationRejected`."""
    return [_to_notification_event(_read(raw))]


def _read(body: bytes) -> Notification:
    try:
        return Notification.model_validate(read_json_object(body))
    except ValidationError:
        raise NotificationRejected("The notification is not one of the PSP") from None


def _to_notification_event(notification: Notification) -> NotificationEvent:
    """Identify the transaction of a notification.

    A settle under a preauth's handle belongs to a payment, which is identified by the settle's id;
    likewise a refund. Everything else belongs to the handle itself. A stored card belongs to its
    customer, whose handle is that of the sign-up.
    """
    match notification.event_type:
        case "invoice_settled" if notification.invoice and notification.transaction:
            ids: tuple[str, ...] = (movement_id(notification.invoice, notification.transaction),)
            return NotificationEvent(event_id=notification.id, psp_ids=ids)
        case "invoice_refund" | "invoice_refund_failed" if notification.transaction:
            return NotificationEvent(event_id=notification.id, psp_ids=(notification.transaction,))
        case "invoice_refund" | "invoice_refund_failed" if notification.invoice:
            # The refund is not named: those of the charge that are open are looked up.
            return NotificationEvent(event_id=notification.id, reference=notification.invoice)
        case "invoice_authorized" | "invoice_settled" | "invoice_failed" | "invoice_cancelled" if (
            notification.invoice
        ):
            ids = (movement_id(notification.invoice, notification.transaction or ""),)
            return NotificationEvent(
                event_id=notification.id, reference=notification.invoice, psp_ids=ids
            )
        case "customer_payment_method_added" if notification.customer:
            return NotificationEvent(event_id=notification.id, reference=notification.customer)
        case event_type:
            log.debug("An event %.60r is ignored: it names nothing that we look up", event_type)
            return NotificationEvent(event_id=notification.id, relevant=False)
