"""Webhooks of the PSP: one signed event each, with the complete object, which is trusted."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from pydantic import SecretStr, ValidationError

from integrator.psp.errors import NotificationRejected, ProtocolError
from integrator.psp.sandbox import instruments, mapping
from integrator.psp.sandbox.wire import (
    Authorization,
    Charge,
    CheckoutSession,
    Event,
    Mandate,
    Refund,
    WireObject,
)
from integrator.psp.toolkit.notifications import keep_raw, unreadable_event
from integrator.psp.toolkit.signatures import require_timestamped_signature
from integrator.psp.toolkit.wire import read_json_object
from integrator.psp.types import NotificationEvent, Outcome

T = TypeVar("T", bound=WireObject)
Reader = Callable[[Mapping[str, Any]], Outcome]

HEADER = "sandbox-signature"


def parse(
    secrets: SecretStr, headers: Mapping[str, str], body: bytes, now: datetime
) -> Sequence[NotificationEvent]:
    """Verify a notification, return its event. Raises `NotificationRejected` for the signature."""
    require_timestamped_signature(secrets, headers, HEADER, body, now)
    try:
        return keep_raw(read_event(body), body)
    except NotificationRejected:
        return [unreadable_event(body)]


def read_event(body: bytes) -> Sequence[NotificationEvent]:
    """Read the event in a verified body. Raises `NotificationRejected`."""
    try:
        event = Event.model_validate(read_json_object(body))
        reader = _READERS.get(event.type)
        if reader is None:
            return [NotificationEvent(event_id=event.id, relevant=False)]
        psp_object = WireObject.model_validate(event.data)
    except ValidationError:
        raise NotificationRejected("The notification is not an event of the PSP") from None
    result = _event_outcome(event, reader)
    ids = _object_ids(event, psp_object)
    return [
        NotificationEvent(
            event_id=event.id, reference=psp_object.reference, psp_ids=ids, result=result
        )
    ]


def _event_outcome(event: Event, reader: Reader) -> Outcome | None:
    try:
        return reader(event.data)
    except (ValidationError, ProtocolError):
        # Signed but not readable: the transaction is known, so its state can be fetched.
        return None


def _object_ids(event: Event, psp_object: WireObject) -> tuple[str, ...]:
    """Return the object's id and, for a completed checkout session, that of its authorization."""
    authorization = event.data.get("authorization")
    if isinstance(authorization, Mapping) and isinstance(authorization.get("id"), str):
        return (psp_object.id, authorization["id"])
    return (psp_object.id,)


def _make_reader(model: type[T], outcome: Callable[[T], Outcome]) -> Reader:
    return lambda data: outcome(model.model_validate(data))


_SESSION = _make_reader(CheckoutSession, mapping.session_outcome)
_AUTHORIZATION = _make_reader(Authorization, mapping.authorization_outcome)
_CHARGE = _make_reader(Charge, mapping.charge_outcome)
_REFUND = _make_reader(Refund, mapping.refund_outcome)
_MANDATE = _make_reader(Mandate, instruments.mandate_outcome)

_READERS: dict[str, Reader] = {
    "checkout_session.completed": _SESSION,
    "checkout_session.failed": _SESSION,
    "checkout_session.cancelled": _SESSION,
    "checkout_session.expired": _SESSION,
    "authorization.authorized": _AUTHORIZATION,
    "authorization.voided": _AUTHORIZATION,
    "authorization.expired": _AUTHORIZATION,
    "charge.succeeded": _CHARGE,
    "charge.pending": _CHARGE,
    "charge.failed": _CHARGE,
    "charge.charged_back": _CHARGE,
    "charge.chargeback_reversed": _CHARGE,
    "refund.succeeded": _REFUND,
    "refund.pending": _REFUND,
    "refund.failed": _REFUND,
    "mandate.active": _MANDATE,
}
