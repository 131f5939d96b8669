"""The PSP's webhooks: one signed event each, whose object is complete and so is believed."""

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
from integrator.psp.toolkit.signatures import require_timestamped
from integrator.psp.types import NotificationEvent, Outcome

T = TypeVar("T", bound=WireObject)
Reader = Callable[[Mapping[str, Any]], Outcome]

HEADER = "sandbox-signature"


def parse(
    secrets: SecretStr, headers: Mapping[str, str], body: bytes, now: datetime
) -> Sequence[NotificationEvent]:
    """The event of a notification. Raises `NotificationRejected`."""
    require_timestamped(secrets, headers, HEADER, body, now)
    return read(body)


def read(body: bytes) -> Sequence[NotificationEvent]:
    """The event in a body whose origin is certain. Raises `NotificationRejected`."""
    try:
        event = Event.model_validate_json(body)
        reader = _READERS.get(event.type)
        if reader is None:
            return [NotificationEvent(event_id=event.id, relevant=False)]
        named = WireObject.model_validate(event.data)
    except ValidationError:
        raise NotificationRejected("The notification is not an event of the PSP") from None
    result = _result(event, reader)
    ids = _ids(event, named)
    return [
        NotificationEvent(event_id=event.id, reference=named.reference, psp_ids=ids, result=result)
    ]


def _result(event: Event, reader: Reader) -> Outcome | None:
    try:
        return reader(event.data)
    except (ValidationError, ProtocolError):
        # Signed but not understood: the transaction is known, so its state can be fetched.
        return None


def _ids(event: Event, named: WireObject) -> tuple[str, ...]:
    """A completed checkout session is known by its authorization from then on."""
    authorization = event.data.get("authorization")
    if isinstance(authorization, Mapping) and isinstance(authorization.get("id"), str):
        return (named.id, authorization["id"])
    return (named.id,)


def _reader(model: type[T], outcome: Callable[[T], Outcome]) -> Reader:
    return lambda data: outcome(model.model_validate(data))


_SESSION = _reader(CheckoutSession, mapping.session_outcome)
_AUTHORIZATION = _reader(Authorization, mapping.authorization_outcome)
_CHARGE = _reader(Charge, mapping.charge_outcome)
_REFUND = _reader(Refund, mapping.refund_outcome)
_MANDATE = _reader(Mandate, instruments.signed)

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
    "refund.succeeded": _REFUND,
    "refund.pending": _REFUND,
    "refund.failed": _REFUND,
    "mandate.active": _MANDATE,
}
