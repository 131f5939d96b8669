"""Webhooks of GoCardless: several signed events each, in any order.

An event names the object and not its state, so that every relevant event requires a look-up. No
timestamp is signed: a replayed webhook is recognised by the ids of its events.
"""

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import SecretStr, ValidationError

from integrator.psp.errors import NotificationRejected
from integrator.psp.gocardless.wire import Event
from integrator.psp.toolkit.notifications import unreadable_event
from integrator.psp.toolkit.secrets import split_secrets
from integrator.psp.toolkit.signatures import get_header, require_hmac_sha256
from integrator.psp.toolkit.wire import read_json_object
from integrator.psp.types import NotificationEvent

HEADER = "webhook-signature"

log = logging.getLogger(__name__)

_LINK_NAMES = {"billing_requests": "billing_request", "payments": "payment", "refunds": "refund"}
# Actions that change no outcome.
_IGNORED_ACTIONS = frozenset(
    {
        *("chargeback_settled", "created", "customer_approval_granted", "late_failure_settled"),
        *("refund_settled", "resubmission_requested", "submitted", "surcharge_fee_debited"),
        *("bank_authorisation_visited", "flow_created", "flow_visited"),
        *("collect_bank_account", "collect_customer_details", "payer_details_confirmed"),
    }
)


def parse(
    secrets: SecretStr, headers: Mapping[str, str], body: bytes
) -> Sequence[NotificationEvent]:
    """Verify a webhook and return its events. Raises `NotificationRejected` for the signature.

    What cannot be read is returned as unreadable: a rejected webhook is repeated as a whole, and
    finally all its events are lost.
    """
    require_hmac_sha256(split_secrets(secrets), body, [get_header(headers, HEADER)])
    entries = (read_json_object(body) or {}).get("events")
    if not isinstance(entries, list):
        return [unreadable_event(body)]
    return [_read_entry(entry) for entry in entries]


def _read_entry(entry: Any) -> NotificationEvent:
    raw = json.dumps(entry, separators=(",", ":")).encode()
    event = _try_read(entry)
    return unreadable_event(raw) if event is None else event.model_copy(update={"raw": raw})


def read_event(raw: bytes) -> Sequence[NotificationEvent]:
    """Read one verified event. Raises `NotificationRejected`."""
    event = _try_read(read_json_object(raw))
    if event is None:
        raise NotificationRejected("The entry is not an event of GoCardless")
    return [event]


def _try_read(entry: Any) -> NotificationEvent | None:
    try:
        event = Event.model_validate(entry)
    except ValidationError:
        return None
    if event.resource_type == "mandates":
        return _read_mandate_event(event)
    if event.resource_type not in _LINK_NAMES:
        return _ignore(event, "it is about no payment, refund or billing request")
    if event.action in _IGNORED_ACTIONS:
        return _ignore(event, "its action changes no outcome")
    id = event.link(_LINK_NAMES[event.resource_type])
    if id is None and event.reference is None:
        return None  # it may be about a transaction of ours, and does not say about which
    ids = (id,) if id is not None else ()
    return NotificationEvent(event_id=event.id, reference=event.reference, psp_ids=ids)


def _read_mandate_event(event: Event) -> NotificationEvent:
    """Read the replacement of a mandate; it belongs to the sign-up that created the old one.

    The later end of a mandate does not change its sign-up: the next payment will fail.
    """
    id = event.link("mandate")
    is_replaced = event.action == "replaced" or event.link("new_mandate") is not None
    if id is None or not is_replaced:
        return _ignore(event, "the next payment shows whether its mandate can be charged")
    return NotificationEvent(event_id=event.id, reference=event.reference, psp_ids=(id,))


def _ignore(event: Event, reason: str) -> NotificationEvent:
    log.debug("The event %s of %s is ignored: %s", event.action, event.resource_type, reason)
    return NotificationEvent(event_id=event.id, relevant=False)
