"""Convert the engine's events to Stripe's events and list them."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.stripe import models, pagination, serializers
from devtools.sandbox_psp.emulators.stripe.auth import VERSION
from devtools.sandbox_psp.emulators.stripe.errors import resource_missing
from devtools.sandbox_psp.emulators.stripe.requests import EventListParams
from devtools.sandbox_psp.emulators.stripe.serializers import Json, seconds
from devtools.sandbox_psp.events import with_sequence
from devtools.sandbox_psp.models import Authorization, Charge, CheckoutSession, Mandate, Refund

RecordSerializer = Callable[[Context, str, dict[str, Any]], Json]


def serialize_event(ctx: Context, account: str, event: Mapping[str, Any]) -> Json | None:
    """Return the event as Stripe's, its object as it was then; None if Stripe sends none."""
    if event["type"] not in _TYPES:
        return None
    event_type, serialize_record = _TYPES[event["type"]]
    return {
        "id": event["id"],
        "object": "event",
        "api_version": VERSION,
        "created": seconds(event["created_at"]),
        "type": event_type,
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "data": {
            "object": serializers.expand_references(
                serialize_record(ctx, account, event["data"]), ()
            )
        },
    }


def list_page(ctx: Context, account: str, params: EventListParams) -> Json:
    """Return a page of the event list, newest first."""
    rows = ctx.db.all(
        "SELECT sequence, body FROM events WHERE account = ? ORDER BY sequence DESC", account
    )
    stored_events = (with_sequence(row["body"], row["sequence"]) for row in rows)
    types = {*params.types, *([params.type] if params.type else [])}
    matching = [
        event
        for event in stored_events
        if event["type"] in _TYPES
        and (not types or _TYPES[event["type"]][0] in types)
        and pagination.is_within(params.created, seconds(event["created_at"]))
    ]
    result = pagination.slice_page(params, matching)
    result["data"] = [serialize_event(ctx, account, event) for event in result["data"]]
    return result


def get_event(ctx: Context, account: str, id: str) -> Json:
    """Return an event; StripeError 404 if there is none."""
    row = ctx.db.one("SELECT body FROM events WHERE account = ? AND id = ?", account, id)
    event = serialize_event(ctx, account, json.loads(row["body"])) if row else None
    if event is None:
        raise resource_missing("event", id)
    return event


def _serialize_session(ctx: Context, account: str, data: dict[str, Any]) -> Json:
    return serializers.serialize_session(
        ctx, models.get_owned(ctx, CheckoutSession, account, data["id"], "session")
    )


def _serialize_authorization(ctx: Context, account: str, data: dict[str, Any]) -> Json:
    authorization = models.record_from_snapshot(Authorization, account, data)
    intent = models.get_intent(ctx, account, models.with_prefix(authorization.id, "pi"))
    metadata = {name: text for name, text in intent.metadata.items() if name != "capture"}
    intent = intent.model_copy(update={"metadata": metadata})
    return serializers.serialize_intent(ctx, intent, authorization=authorization, snapshot=True)


def _serialize_charge(ctx: Context, account: str, data: dict[str, Any]) -> Json:
    charge = models.record_from_snapshot(Charge, account, data)
    intent = models.intent_of_charge(ctx, charge)
    return serializers.serialize_intent(ctx, intent, charge=charge, snapshot=True)


def _serialize_dispute(ctx: Context, account: str, data: dict[str, Any]) -> Json:
    charge = models.record_from_snapshot(Charge, account, data)
    return serializers.serialize_dispute(ctx, charge, charge.chargebacks[-1])


def _serialize_decided_dispute(ctx: Context, account: str, data: dict[str, Any]) -> Json:
    charge = models.get_owned(ctx, Charge, account, data["id"], "charge")
    return serializers.serialize_dispute(ctx, charge, charge.chargebacks[-1])


def _serialize_refund(ctx: Context, account: str, data: dict[str, Any]) -> Json:
    return serializers.serialize_refund(ctx, models.record_from_snapshot(Refund, account, data))


def _serialize_mandate(ctx: Context, account: str, data: dict[str, Any]) -> Json:
    return serializers.serialize_setup_intent(
        ctx, models.get_owned(ctx, Mandate, account, data["id"], "mandate")
    )


_TYPES: dict[str, tuple[str, RecordSerializer]] = {
    "checkout_session.completed": ("checkout.session.completed", _serialize_session),
    "checkout_session.failed": ("checkout.session.expired", _serialize_session),
    "checkout_session.cancelled": ("checkout.session.expired", _serialize_session),
    "checkout_session.expired": ("checkout.session.expired", _serialize_session),
    "authorization.authorized": (
        "payment_intent.amount_capturable_updated",
        _serialize_authorization,
    ),
    "authorization.voided": ("payment_intent.canceled", _serialize_authorization),
    "authorization.expired": ("payment_intent.canceled", _serialize_authorization),
    "charge.pending": ("payment_intent.processing", _serialize_charge),
    "charge.succeeded": ("payment_intent.succeeded", _serialize_charge),
    "charge.failed": ("payment_intent.payment_failed", _serialize_charge),
    "charge.charged_back": ("charge.dispute.created", _serialize_dispute),
    "charge.chargeback_reversed": (
        "charge.dispute.funds_reinstated",
        _serialize_decided_dispute,
    ),
    "charge.dispute_closed": ("charge.dispute.closed", _serialize_decided_dispute),
    "refund.pending": ("refund.created", _serialize_refund),
    "refund.succeeded": ("refund.updated", _serialize_refund),
    "refund.failed": ("refund.failed", _serialize_refund),
    "mandate.active": ("setup_intent.succeeded", _serialize_mandate),
}
