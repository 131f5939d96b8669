"""What Stripe tells of what happens: one event for each of the engine's, or none."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.stripe import models, pagination, serializers
from devtools.sandbox_psp.emulators.stripe.auth import VERSION
from devtools.sandbox_psp.emulators.stripe.errors import missing
from devtools.sandbox_psp.emulators.stripe.requests import EventListParams
from devtools.sandbox_psp.emulators.stripe.serializers import View, seconds
from devtools.sandbox_psp.events import with_sequence
from devtools.sandbox_psp.models import Authorization, Charge, CheckoutSession, Mandate, Refund

Told = Callable[[Context, str, dict[str, Any]], View]


def told(ctx: Context, account: str, event: Mapping[str, Any]) -> View | None:
    """The event as Stripe words it, its object as it was then; None if Stripe would not tell."""
    if event["type"] not in _TYPES:
        return None
    kind, view = _TYPES[event["type"]]
    return {
        "id": event["id"],
        "object": "event",
        "api_version": VERSION,
        "created": seconds(event["created_at"]),
        "type": kind,
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "data": {"object": serializers.expanded(view(ctx, account, event["data"]), ())},
    }


def page(ctx: Context, account: str, wanted: EventListParams) -> View:
    """The event list, newest first."""
    rows = ctx.db.all(
        "SELECT sequence, body FROM events WHERE account = ? ORDER BY sequence DESC", account
    )
    found = (with_sequence(row["body"], row["sequence"]) for row in rows)
    types = {*wanted.types, *([wanted.type] if wanted.type else [])}
    chosen = [
        event
        for event in found
        if event["type"] in _TYPES
        and (not types or _TYPES[event["type"]][0] in types)
        and pagination.within(wanted.created, seconds(event["created_at"]))
    ]
    listed = pagination.cut(wanted, chosen)
    listed["data"] = [told(ctx, account, event) for event in listed["data"]]
    return listed


def one(ctx: Context, account: str, id: str) -> View:
    """An event; StripeError 404."""
    row = ctx.db.one("SELECT body FROM events WHERE account = ? AND id = ?", account, id)
    shown = told(ctx, account, json.loads(row["body"])) if row else None
    if shown is None:
        raise missing("event", id)
    return shown


def _session(ctx: Context, account: str, data: dict[str, Any]) -> View:
    return serializers.session(
        ctx, models.owned(ctx, CheckoutSession, account, data["id"], "session")
    )


def _held(ctx: Context, account: str, data: dict[str, Any]) -> View:
    held = models.from_snapshot(Authorization, account, data)
    made = models.intent(ctx, account, models.turned(held.id, "pi"))
    before = {name: text for name, text in made.metadata.items() if name != "capture"}
    made = made.model_copy(update={"metadata": before})
    return serializers.intent(ctx, made, held=held, snapshot=True)


def _taken(ctx: Context, account: str, data: dict[str, Any]) -> View:
    taken = models.from_snapshot(Charge, account, data)
    made = models.of_charge(ctx, taken)
    return serializers.intent(ctx, made, taken=taken, snapshot=True)


def _disputed(ctx: Context, account: str, data: dict[str, Any]) -> View:
    taken = models.from_snapshot(Charge, account, data)
    return serializers.dispute(ctx, taken, taken.chargebacks[-1])


def _refunded(ctx: Context, account: str, data: dict[str, Any]) -> View:
    return serializers.refund(ctx, models.from_snapshot(Refund, account, data))


def _signed(ctx: Context, account: str, data: dict[str, Any]) -> View:
    return serializers.setup_intent(ctx, models.owned(ctx, Mandate, account, data["id"], "mandate"))


_TYPES: dict[str, tuple[str, Told]] = {
    "checkout_session.completed": ("checkout.session.completed", _session),
    "checkout_session.failed": ("checkout.session.expired", _session),
    "checkout_session.cancelled": ("checkout.session.expired", _session),
    "checkout_session.expired": ("checkout.session.expired", _session),
    "authorization.authorized": ("payment_intent.amount_capturable_updated", _held),
    "authorization.voided": ("payment_intent.canceled", _held),
    "authorization.expired": ("payment_intent.canceled", _held),
    "charge.pending": ("payment_intent.processing", _taken),
    "charge.succeeded": ("payment_intent.succeeded", _taken),
    "charge.failed": ("payment_intent.payment_failed", _taken),
    "charge.charged_back": ("charge.dispute.created", _disputed),
    "refund.pending": ("refund.created", _refunded),
    "refund.succeeded": ("refund.updated", _refunded),
    "refund.failed": ("refund.failed", _refunded),
    "mandate.active": ("setup_intent.succeeded", _signed),
}
