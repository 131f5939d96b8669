"""Verifies Stripe's webhooks and reads their events; pure.

The signature covers the body, but an event shows its object as it was then, arrives in any order
and, in most cases, without the objects beside it. So an event only says which transaction to ask
for, except for a payment that was taken at once: that one is not undone by anything later.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import SecretStr, ValidationError

from integrator.psp.errors import NotificationRejected, ProtocolError
from integrator.psp.stripe import mapping
from integrator.psp.stripe.wire import CAPTURE, REFERENCE, Event, PaymentIntent
from integrator.psp.toolkit.signatures import require_timestamped
from integrator.psp.types import NotificationEvent, Outcome, Pending

HEADER = "Stripe-Signature"
_PAID = "payment_intent.succeeded"
_SIGNED = "setup_intent.succeeded"
RELEVANT = frozenset(
    {
        _PAID,
        "payment_intent.amount_capturable_updated",
        "payment_intent.canceled",
        "payment_intent.payment_failed",
        "checkout.session.completed",
        "checkout.session.expired",
        "setup_intent.setup_failed",
        _SIGNED,
        "refund.created",
        "refund.failed",
        "refund.updated",
        "charge.dispute.closed",
        "charge.dispute.created",
        "charge.dispute.funds_reinstated",
        "charge.dispute.funds_withdrawn",
    }
)
"""What can change a transaction."""

# Members of an event's object that name what it is about; none is expanded in an event.
_NAMES = {
    "payment_intent": ("id", "latest_charge"),
    "checkout.session": ("id", "payment_intent", "setup_intent"),
    "refund": ("id",),
    "setup_intent": ("id",),
    "dispute": ("charge", "payment_intent"),
}


def parse(
    secrets: SecretStr, headers: Mapping[str, str], body: bytes, now: datetime
) -> Sequence[NotificationEvent]:
    """The events of a webhook that proves where it comes from."""
    require_timestamped(secrets, headers, HEADER, body, now)
    return read(body)


def read(body: bytes) -> Sequence[NotificationEvent]:
    """The one event in a body. Raises `NotificationRejected` for what is none."""
    try:
        event = Event.model_validate_json(body)
        if event.type not in RELEVANT:
            return [NotificationEvent(event_id=event.id, relevant=False)]
        about = event.data["object"]
        ids = tuple(
            about[name] for name in _NAMES[about["object"]] if isinstance(about.get(name), str)
        )
    except (ValidationError, KeyError, TypeError):
        raise NotificationRejected("The notification is not an event of Stripe's") from None
    if not ids:
        raise NotificationRejected("The notification names no object")
    reference = _reference(event.type, about)
    if about["object"] == "refund" and reference is None:
        # Made without us, or what is let go of a reservation: the list of movements tells which.
        return [NotificationEvent(event_id=event.id, relevant=False)]
    result = _result(event.type, about)
    return [NotificationEvent(event_id=event.id, reference=reference, psp_ids=ids, result=result)]


def _reference(kind: str, about: Mapping[str, Any]) -> str | None:
    """Once money was taken, or should have been, a reservation's events are the capture's."""
    metadata = about.get("metadata") or {}
    if kind in (_PAID, "payment_intent.payment_failed") and CAPTURE in metadata:
        return str(metadata[CAPTURE])
    named = metadata.get(REFERENCE) or about.get("client_reference_id")
    return str(named) if named else None


def _result(kind: str, about: Mapping[str, Any]) -> Outcome | None:
    """What a payment has come to, unless it is a capture; None if it has to be asked for.

    Of a sign-up only its id: the payment data are in its answer, and a look-up knows less of them.
    """
    if kind == _SIGNED:
        return Pending(psp_id=about["id"])
    try:
        intent = PaymentIntent.model_validate(about) if kind == _PAID else None
        return mapping.payment_outcome(intent) if intent and not intent.manual else None
    except (ValidationError, ProtocolError):
        # Signed but not understood (another API version): the state can be fetched.
        return None
