"""Verification of Stripe's webhooks and reading of their events; pure.

The signature covers the body, but an event shows its object as it was then, arrives in any order
and mostly lacks the related objects. So an event only identifies the transaction to look up, except
for a payment without reservation: its success is final.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import SecretStr, ValidationError

from integrator.psp.errors import NotificationRejected, ProtocolError
from integrator.psp.stripe import mapping
from integrator.psp.stripe.wire import CAPTURE, REFERENCE, Event, PaymentIntent
from integrator.psp.toolkit.signatures import require_timestamped_signature
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
"""Event types that can change a transaction."""

# Members of an event's object with the ids of the transaction; none is expanded in an event.
_ID_MEMBERS = {
    "payment_intent": ("id", "latest_charge"),
    "checkout.session": ("id", "payment_intent", "setup_intent"),
    "refund": ("id",),
    "setup_intent": ("id",),
    "dispute": ("charge", "payment_intent"),
}


def parse(
    secrets: SecretStr, headers: Mapping[str, str], body: bytes, now: datetime
) -> Sequence[NotificationEvent]:
    """Verify a webhook and return its event. Raises `NotificationRejected`."""
    require_timestamped_signature(secrets, headers, HEADER, body, now)
    return read_event(body)


def read_event(body: bytes) -> Sequence[NotificationEvent]:
    """Read the event in a verified body. Raises `NotificationRejected`."""
    try:
        event = Event.model_validate_json(body)
        if event.type not in RELEVANT_EVENT_TYPES:
            return [NotificationEvent(event_id=event.id, relevant=False)]
        psp_object = event.data["object"]
        ids = tuple(
            psp_object[name]
            for name in _ID_MEMBERS[psp_object["object"]]
            if isinstance(psp_object.get(name), str)
        )
    except (ValidationError, KeyError, TypeError):
        raise NotificationRejected("The notification is not an event of Stripe") from None
    if not ids:
        raise NotificationRejected("The notification names no object")
    reference = _transaction_reference(event.type, psp_object)
    if psp_object["object"] == "refund" and reference is None:
        # Created elsewhere, or the release of a reservation: the list of movements shows which.
        return [NotificationEvent(event_id=event.id, relevant=False)]
    result = _event_outcome(event.type, psp_object)
    return [NotificationEvent(event_id=event.id, reference=reference, psp_ids=ids, result=result)]


def _transaction_reference(event_type: str, psp_object: Mapping[str, Any]) -> str | None:
    """Return our reference; after an attempted capture it is that of the capture."""
    metadata = psp_object.get("metadata") or {}
    if event_type in (_PAYMENT_SUCCEEDED, "payment_intent.payment_failed") and CAPTURE in metadata:
        return str(metadata[CAPTURE])
    reference = metadata.get(REFERENCE) or psp_object.get("client_reference_id")
    return str(reference) if reference else None


def _event_outcome(event_type: str, psp_object: Mapping[str, Any]) -> Outcome | None:
    """Return the outcome of a payment without reservation; None if a look-up is needed.

    A sign-up is `Pending` with its id: only the response to it has the complete payment data.
    """
    if event_type == _SETUP_SUCCEEDED:
        return Pending(psp_id=psp_object["id"])
    try:
        intent = (
            PaymentIntent.model_validate(psp_object) if event_type == _PAYMENT_SUCCEEDED else None
        )
        return mapping.payment_outcome(intent) if intent and not intent.is_manual_capture else None
    except (ValidationError, ProtocolError):
        # Signed but not readable (another API version): the state can be fetched.
        return None
