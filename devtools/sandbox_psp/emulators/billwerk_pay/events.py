"""Map the engine's events to Billwerk+ Pay's: ids, and no state."""

import json
from collections.abc import Mapping
from typing import Any

from devtools.sandbox_psp import repository
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.billwerk_pay import models
from devtools.sandbox_psp.models import Charge, CheckoutSession

_TYPES = {
    "authorization.authorized": "invoice_authorized",
    "authorization.voided": "invoice_cancelled",
    "charge.succeeded": "invoice_settled",
    "charge.pending": "invoice_changed",
    "charge.failed": "invoice_failed",
    "refund.succeeded": "invoice_refund",
    "refund.failed": "invoice_refund_failed",
    "checkout_session.failed": "invoice_failed",
    "checkout_session.completed": "customer_payment_method_added",
}


def event_fields(ctx: Context, event: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the event's type and ids; None if this PSP sends no such event.

    It has no type for disputes, expired pages and expired authorizations.
    """
    event_type = _TYPES.get(event["type"])
    subject = (
        _subject_fields(ctx, event["type"].partition(".")[0], event["data"]) if event_type else None
    )
    return {"event_type": event_type, **subject} if subject is not None else None


def list_page(
    ctx: Context, account: str, number: int, size: int, invoice: str | None
) -> dict[str, Any]:
    """Return a page of the event list, newest first."""
    rows = ctx.db.all("SELECT body FROM events WHERE account = ? ORDER BY sequence DESC", account)
    events = []
    for row in rows:
        event = json.loads(row["body"])
        fields = event_fields(ctx, event)
        if fields is not None and invoice in (None, fields.get("invoice")):
            events.append({"id": event["id"], "created": event["created_at"], **fields})
    content = events[(number - 1) * size : number * size]
    return {"page": number, "size": size, "count": len(content), "content": content}


def _subject_fields(ctx: Context, kind: str, data: Mapping[str, Any]) -> dict[str, Any] | None:
    if kind == "authorization":
        return {"invoice": data["reference"], "transaction": data["id"]}
    if kind == "charge":
        charge = repository.get(ctx.db, Charge, data["id"])
        return {"invoice": models.handle_of_charge(ctx, charge), "transaction": charge.id}
    if kind == "refund":
        charge = repository.get(ctx.db, Charge, data["charge"])
        return {"invoice": models.handle_of_charge(ctx, charge), "transaction": data["id"]}
    session = repository.get(ctx.db, CheckoutSession, data["id"])
    if session.payment_method is None:
        return {"invoice": session.reference} if session.mode == "authorize" else None
    return {
        "customer": session.extra["customer"],
        "payment_method": models.to_card_id(session.payment_method),
    }
