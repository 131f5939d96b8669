"""GoCardless' webhooks: many signed events each, in any order.

They name the object and not its state, so that every event of interest asks for a look-up. No time
is signed: a replayed one is recognised by the ids of its events.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import SecretStr, ValidationError

from integrator.psp.errors import NotificationRejected
from integrator.psp.gocardless.wire import REFERENCE, Event
from integrator.psp.toolkit.secrets import split
from integrator.psp.toolkit.signatures import header, require_hmac_sha256
from integrator.psp.types import NotificationEvent

HEADER = "webhook-signature"

# A mandate that ends later is no news of its sign-up: the next payment will fail.
_LINKS = {"billing_requests": "billing_request", "payments": "payment", "refunds": "refund"}
# None of these changes what is known of the money.
_NO_NEWS = frozenset(
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
    """The events of a webhook. Raises `NotificationRejected`."""
    require_hmac_sha256(split(secrets), body, [header(headers, HEADER)])
    events = _json(body).get("events")
    if not isinstance(events, list):
        raise NotificationRejected("The notification holds no events")
    return [_notice(event) for event in events]


def read(raw: bytes) -> Sequence[NotificationEvent]:
    """One event, whose origin is certain. Raises `NotificationRejected`."""
    return [_notice(_json(raw))]


def _json(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise NotificationRejected("The notification is not GoCardless'")
    return found


def _notice(found: Any) -> NotificationEvent:
    try:
        event = Event.model_validate(found)
    except ValidationError:
        raise NotificationRejected("The notification holds what is no event") from None
    id = event.links.get(_LINKS.get(event.resource_type, ""))
    if id is None or event.action in _NO_NEWS:
        return NotificationEvent(event_id=event.id, relevant=False)
    reference = (event.resource_metadata or {}).get(REFERENCE)
    return NotificationEvent(event_id=event.id, reference=reference, psp_ids=(id,))
