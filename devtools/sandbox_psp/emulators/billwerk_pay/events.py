"""Events in the dialect's words: ids, and no state."""

import json
from collections.abc import Mapping
from typing import Any

from devtools.sandbox_psp import repository
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.billwerk_pay import invoices
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


def what(ctx: Context, event: Mapping[str, Any]) -> dict[str, Any] | None:
    """The event's type and what it is about; None for what this PSP never tells.

    It has no word for disputes, expired pages and lapsed reservations.
    """
    name = _TYPES.get(event["type"])
    about = _about(ctx, event["type"].partition(".")[0], event["data"]) if name else None
    return {"event_type": name, **about} if about is not None else None


def page(ctx: Context, account: str, number: int, size: int, invoice: str | None) -> dict[str, Any]:
    """A page of the list of events, newest first."""
    rows = ctx.db.all("SELECT body FROM events WHERE account = ? ORDER BY sequence DESC", account)
    found = []
    for row in rows:
        event = json.loads(row["body"])
        about = what(ctx, event)
        if about is not None and invoice in (None, about.get("invoice")):
            found.append({"id": event["id"], "created": event["created_at"], **about})
    content = found[(number - 1) * size : number * size]
    return {"page": number, "size": size, "count": len(content), "content": content}


def _about(ctx: Context, kind: str, data: Mapping[str, Any]) -> dict[str, Any] | None:
    if kind == "authorization":
        return {"invoice": data["reference"], "transaction": data["id"]}
    if kind == "charge":
        made = repository.get(ctx.db, Charge, data["id"])
        return {"invoice": invoices.handle_of(ctx, made), "transaction": made.id}
    if kind == "refund":
        made = repository.get(ctx.db, Charge, data["charge"])
        return {"invoice": invoices.handle_of(ctx, made), "transaction": data["id"]}
    page = repository.get(ctx.db, CheckoutSession, data["id"])
    if page.payment_method is None:
        return {"invoice": page.reference} if page.mode == "authorize" else None
    return {
        "customer": page.extra["customer"],
        "payment_method": invoices.card_id(page.payment_method),
    }
