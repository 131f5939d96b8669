"""Webhooks of GoCardless: several signed events each, in any order.

An event names the object and not its state, so that every relevant event requires a look-up. No
timestamp is signed: a replayed webhook is recognised by the ids of its events.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import SecretStr, ValidationError

from integrator.psp.errors import NotificationRejected
from integrator.psp.gocardless.wire import REFERENCE, Event
from integrator.psp.toolkit.secrets import split_secrets
from integrator.psp.toolkit.signatures import get_header, require_hmac_sha256
from integrator.psp.types import NotificationEvent

HEADER = "webhook-signature"

# The later end of a mandate does not change its sign-up: the next payment will fail.
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
    """Verify a webhook and return its events. Raises `NotificationRejected`."""
    require_hmac_sha256(split_secrets(secrets), body, [get_header(headers, HEADER)])
    events = _parse_json(body).get("events")
    if not isinstance(events, list):
        raise NotificationRejected("The notification has no list of events")
    return [_to_notification_event(event) for event in events]


def read_event(raw: bytes) -> Sequence[NotificationEvent]:
    """Read one verified event. Raises `NotificationRejected`."""
    return [_to_notification_event(_parse_json(raw))]


def _parse_json(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict):
        raise NotificationRejected("The notification is not one of GoCardless")
    return content


def _to_notification_event(content: Any) -> NotificationEvent:
    try:
        event = Event.model_validate(content)
    except ValidationError:
        raise NotificationRejected("The notification has an entry that is not an event") from None
    id = event.links.get(_LINK_NAMES.get(event.resource_type, ""))
    if id is None or event.action in _IGNORED_ACTIONS:
        return NotificationEvent(event_id=event.id, relevant=False)
    reference = (event.resource_metadata or {}).get(REFERENCE)
    return NotificationEvent(event_id=event.id, reference=reference, psp_ids=(id,))
