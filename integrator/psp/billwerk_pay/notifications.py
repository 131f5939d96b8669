"""The PSP's webhooks: signed, but only their id and time, so that they are mere hints.

The signature covers neither the event nor the ids of what it is about: the state is fetched.
Repetitions carry the time of the event (not confirmed by the PSP), and it repeats for days; a
replay does no more than have the state fetched once more, and is known by its id. So an old time
is accepted, and one in the future is not.
"""

from collections.abc import Sequence
from datetime import datetime

from pydantic import SecretStr, ValidationError

from integrator.psp.billwerk_pay.mapping import movement_id
from integrator.psp.billwerk_pay.wire import Notification
from integrator.psp.errors import NotificationRejected
from integrator.psp.toolkit.secrets import split
from integrator.psp.toolkit.signatures import require_hmac_sha256, require_past
from integrator.psp.types import NotificationEvent


def parse(secrets: SecretStr, body: bytes, now: datetime) -> Sequence[NotificationEvent]:
    """The event of a notification. Raises `NotificationRejected`."""
    try:
        told = Notification.model_validate_json(body)
    except ValidationError:
        raise NotificationRejected("The notification is not one of the PSP") from None
    require_hmac_sha256(split(secrets), f"{told.timestamp}{told.id}".encode(), [told.signature])
    require_past(told.at, now)
    return [_notice(told)]


def _notice(told: Notification) -> NotificationEvent:
    """Whom it concerns.

    A settle under a preauth's handle is a payment's, which is known by the movement alone; so is
    a refund. Everything else is about the handle itself. A stored card is its customer's, who is
    named like the sign-up.
    """
    match told.event_type:
        case "invoice_settled" if told.invoice and told.transaction:
            ids: tuple[str, ...] = (movement_id(told.invoice, told.transaction),)
            return NotificationEvent(event_id=told.id, psp_ids=ids)
        case "invoice_refund" | "invoice_refund_failed" if told.transaction:
            return NotificationEvent(event_id=told.id, psp_ids=(told.transaction,))
        case "invoice_authorized" | "invoice_settled" | "invoice_failed" | "invoice_cancelled":
            ids = (movement_id(told.invoice or "", told.transaction or ""),)
            return NotificationEvent(event_id=told.id, reference=told.invoice, psp_ids=ids)
        case "customer_payment_method_added":
            return NotificationEvent(event_id=told.id, reference=told.customer)
        case _:
            return NotificationEvent(event_id=told.id, relevant=False)
