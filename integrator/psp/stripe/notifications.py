"""Verification of Stripe's webhooks and reading of their events; pure.

The signature covers the body, but an event shows its object as it was then, arrives in any order
and mostly lacks the related objects. So an event only identifies the transaction to look up, except
for a payment without reservation: its success is final.

What the signature proves to be Stripe's is never rejected: Stripe would repeat it for days and then
disable the endpoint. An event that is not for us is ignored and logged, one that cannot be read is
returned as unreadable.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import SecretStr, TypeAdapter, ValidationError

from integrator.psp.errors import NotificationRejected, ProtocolError
from integrator.psp.stripe import mapping
from integrator.psp.stripe.client import VERSION
from integrator.psp.stripe.wire import CAPTURE, REFERENCE, Event, PaymentIntent, ThinEvent
from integrator.psp.toolkit.notifications import keep_raw, unreadable_event
from integrator.psp.toolkit.signatures import require_timestamped_signature
from integrator.psp.toolkit.time_formats import utc_date
from integrator.psp.toolkit.wire import Id, read_json_object
from integrator.psp.types import NotificationEvent, Outcome, Pending

HEADER = "Stripe-Signature"
_PAYMENT_SUCCEEDED = "payment_intent.succeeded"
_SETUP_SUCCEEDED = "setup_intent.succeeded"
RELEVANT_EVENT_TYPES = frozenset(
    {
        _PAYMENT_SUCCEEDED,
        "payment_intent.amount_capturable_updated",
        "payment_intent.canceled",
        "payment_intent.payment_failed",
        "checkout.session.completed",
        "checkout.session.expired",
        "setup_intent.setup_failed",
        _SETUP_SUCCEEDED,
        "refund.created",
        "refund.failed",
        "refund.updated",
        "charge.dispute.closed",
        "charge.dispute.created",
        "charge.dispute.funds_reinstated",
        "charge.dispute.funds_withdrawn",
    }
)
"""Event types that can change a transaction, to be sent to a webhook endpoint."""

LISTED_EVENT_TYPES = RELEVANT_EVENT_TYPES | {"charge.refund.updated"}
"""Event types that are read in the event list.

Accounts with a version before 2024-10-28 have no `refund.updated` for payments:
https://docs.stripe.com/changelog/acacia/2024-10-28/refund-webhook-update
"""

_ACCEPTED_EVENT_TYPES = LISTED_EVENT_TYPES | {"charge.refunded", "charge.dispute.updated"}

# Members of an event's object with the ids of the transaction; none is expanded in an event.
_ID_MEMBERS = {
    "payment_intent": ("id", "latest_charge"),
    "checkout.session": ("id", "payment_intent", "setup_intent"),
    "refund": ("id",),
    "setup_intent": ("id",),
    "dispute": ("charge", "payment_intent"),
    "charge": ("id", "payment_intent"),
}
# Objects that only name the payment: their metadata are copies of another object's.
_PARENTS = ("dispute", "charge")
_THIN_PREFIX = "v1."
_ID = TypeAdapter(Id)

log = logging.getLogger(__name__)


class _UnreadableEvent(Exception):
    """The body is not an event that can be read."""


def parse(
    secrets: SecretStr, headers: Mapping[str, str], body: bytes, now: datetime
) -> Sequence[NotificationEvent]:
    """Verify a webhook and return its event. Raises `NotificationRejected` for the signature."""
    require_timestamped_signature(secrets, headers, HEADER, body, now)
    try:
        return keep_raw([_read(body)], body)
    except _UnreadableEvent as error:
        log.warning("A notification of Stripe cannot be read: %s", error)
        return [unreadable_event(body)]


def read_event(body: bytes) -> Sequence[NotificationEvent]:
    """Read an entry of the event list. Raises `NotificationRejected`."""
    try:
        return [_read(body)]
    except _UnreadableEvent as error:
        raise NotificationRejected(str(error)) from None


def _read(body: bytes) -> NotificationEvent:
    content = read_json_object(body)
    if content is None:
        raise _UnreadableEvent("The notification is not a JSON object")
    if content.get("object") == "v2.core.event":
        return _read_thin_event(content)
    try:
        event = Event.model_validate(content)
    except ValidationError:
        raise _UnreadableEvent("The notification is not an event of Stripe") from None
    if event.type not in _ACCEPTED_EVENT_TYPES:
        return _ignored(event.id, f"events of the type {event.type} change no transaction")
    if event.account:
        return _ignored(event.id, f"it is of the connected account {event.account}")
    return _read_snapshot(event)


def _read_snapshot(event: Event) -> NotificationEvent:
    psp_object: Any = event.data.get("object")
    kind = psp_object.get("object") if isinstance(psp_object, dict) else None
    if not isinstance(kind, str) or kind not in _ID_MEMBERS:
        raise _UnreadableEvent(f"The event {event.id} has no object that is known")
    ids = _object_ids(psp_object)
    if not ids:
        raise _UnreadableEvent(f"The event {event.id} names no object")
    reference = _transaction_reference(event.type, psp_object)
    if psp_object["object"] == "refund" and reference is None:
        # Created elsewhere, or the release of a reservation: the list of movements shows which.
        return _ignored(event.id, "the refund is not of this integration")
    return NotificationEvent(
        event_id=event.id,
        reference=reference,
        psp_ids=ids,
        result=_event_outcome(event, psp_object),
    )


def _read_thin_event(content: dict[str, Any]) -> NotificationEvent:
    """Read an event that only names its object; those of API v1 are `v1.` and the usual type.

    https://docs.stripe.com/webhooks/migrate-snapshot-to-thin-events
    """
    try:
        event = ThinEvent.model_validate(content)
    except ValidationError:
        raise _UnreadableEvent("The notification is not a thin event of Stripe") from None
    if event.type.removeprefix(_THIN_PREFIX) not in _ACCEPTED_EVENT_TYPES:
        return _ignored(event.id, f"events of the type {event.type} change no transaction")
    if event.related_type not in _ID_MEMBERS or event.related_id is None:
        return _ignored(event.id, "it names no object of a transaction")
    if "id" not in _ID_MEMBERS[event.related_type]:
        return _ignored(event.id, "a thin event of a dispute does not name the payment")
    return NotificationEvent(event_id=event.id, psp_ids=(event.related_id,))


def _ignored(event_id: str, reason: str) -> NotificationEvent:
    log.info("Stripe's event %s is ignored: %s", event_id, reason)
    return NotificationEvent(event_id=event_id, relevant=False)


def _object_ids(psp_object: Mapping[str, Any]) -> tuple[str, ...]:
    names = _ID_MEMBERS[psp_object["object"]]
    members = (psp_object.get(name) for name in names)
    ids = (member.get("id") if isinstance(member, dict) else member for member in members)
    return tuple(id for id in ids if isinstance(id, str) and _is_id(id))


def _is_id(value: Any) -> bool:
    try:
        _ID.validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def _transaction_reference(event_type: str, psp_object: Mapping[str, Any]) -> str | None:
    """Return our reference; after an attempted capture it is that of the capture."""
    if psp_object["object"] in _PARENTS:
        return None
    metadata = psp_object.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    if event_type in (_PAYMENT_SUCCEEDED, "payment_intent.payment_failed") and CAPTURE in metadata:
        return str(metadata[CAPTURE])
    reference = metadata.get(REFERENCE) or psp_object.get("client_reference_id")
    return str(reference) if reference else None


def _is_of_one_day(event: Event, intent: PaymentIntent) -> bool:
    """Return whether a payment succeeded on the day of its intent, or that is not known."""
    if event.created is None or intent.created is None:
        return True
    return utc_date(event.created) == utc_date(intent.created)


def _event_outcome(event: Event, psp_object: Mapping[str, Any]) -> Outcome | None:
    """Return the outcome of a payment without reservation; None if a look-up is needed.

    A sign-up is `Pending` with its id: only the response to it has the complete payment data. The
    objects of another API version may mean something else by the same members. A debit is looked
    up: its movement's day is in the balance transaction alone.
    """
    if event.type == _SETUP_SUCCEEDED and _is_id(psp_object.get("id")):
        return Pending(psp_id=psp_object["id"])
    if event.type != _PAYMENT_SUCCEEDED or event.api_version not in (None, VERSION):
        return None
    try:
        intent = PaymentIntent.model_validate(psp_object)
        is_complete = not intent.is_manual_capture and _is_of_one_day(event, intent)
        return mapping.payment_outcome(intent) if is_complete else None
    except (ValidationError, ProtocolError):
        # Signed but not readable: the state can be fetched.
        return None
