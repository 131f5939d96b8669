"""Invoices, and the engine's records that belong to them.

A charge of Billwerk+ Pay is an `Invoice` here, together with the engine's authorizations, charges
and checkout sessions of its handle. The engine's ids are the transactions' ids; a stored card's
`pm_` becomes `ca_`. Settles and refunds are booked under the merchant's own reference in their
text, if there is one: `Pro plan [20260115-65a7...]`.
"""

import json
import re
from typing import Any, ClassVar

from devtools.sandbox_psp import repository
from devtools.sandbox_psp.clock import now_ms, to_iso
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.billwerk_pay.errors import billwerk_error
from devtools.sandbox_psp.emulators.billwerk_pay.money import to_units
from devtools.sandbox_psp.errors import not_found
from devtools.sandbox_psp.ids import new_id
from devtools.sandbox_psp.models import (
    Authorization,
    Charge,
    CheckoutSession,
    PaymentMethod,
    Record,
)

_REFERENCE_SUFFIX = re.compile(r"\[([^\[\]]+)\]$")


class Invoice(Record):
    """A handle, its customer and its order lines; amounts in the engine's minor units."""

    kind: ClassVar[str] = "billwerk_pay_invoice"

    customer: str
    amount: int
    currency: str
    order_lines: list[dict[str, Any]]
    created_at: str

    @property
    def handle(self) -> str:
        """Return the merchant's reference of the invoice."""
        return self.reference or ""


def reference_in_text(text: str | None, otherwise: str) -> str:
    """Return the reference at the end of a merchant's text, or `otherwise`."""
    match = _REFERENCE_SUFFIX.search(text or "")
    return match[1] if match else otherwise


def find_invoice(ctx: Context, account: str, handle: str) -> Invoice | None:
    """Return the invoice of a handle, or None."""
    invoices = repository.list_by_reference(ctx.db, Invoice, handle, account)
    return invoices[0] if invoices else None


def get_invoice(ctx: Context, account: str, handle: str) -> Invoice:
    """Return the invoice of a handle; PspError 404 if there is none."""
    invoice = find_invoice(ctx, account, handle)
    if invoice is None:
        raise not_found("invoice", handle)
    return invoice


def get_or_create_invoice(
    ctx: Context,
    account: str,
    handle: str,
    *,
    customer: str | None,
    minor: int,
    currency: str,
    text: str | None,
) -> Invoice:
    """Return the invoice of a handle, created if new; customer and currency cannot change."""
    if customer is None:
        raise billwerk_error(18)
    invoice = find_invoice(ctx, account, handle)
    if invoice is None:
        invoice = Invoice(
            id=new_id("inv"),
            account=account,
            reference=handle,
            customer=customer,
            amount=minor,
            currency=currency,
            order_lines=[],
            created_at=to_iso(now_ms()),
        )
    if invoice.customer != customer:
        raise billwerk_error(99)
    if invoice.currency != currency:
        raise billwerk_error(72)
    invoice.amount = minor
    invoice.order_lines = [build_order_line(text, minor, currency)]
    repository.save(ctx.db, invoice)
    return invoice


def build_order_line(text: str | None, minor: int, currency: str) -> dict[str, Any]:
    """Return an order line."""
    units = to_units(minor, currency)
    return {
        "id": new_id("ol"),
        "ordertext": text or "",
        "amount": units,
        "unit_amount": units,
        "quantity": 1,
        "vat": 0,
        "origin": "ondemand",
        "timestamp": to_iso(now_ms()),
    }


def find_direct_charge(ctx: Context, invoice: Invoice) -> Charge | None:
    """Return the newest charge without an authorization."""
    charges = repository.list_by_reference(ctx.db, Charge, invoice.handle, invoice.account)
    return next((charge for charge in reversed(charges) if charge.authorization is None), None)


def find_authorization(ctx: Context, invoice: Invoice) -> Authorization | None:
    """Return the newest authorization."""
    authorizations = repository.list_by_reference(
        ctx.db, Authorization, invoice.handle, invoice.account
    )
    return authorizations[-1] if authorizations else None


def find_session(ctx: Context, invoice: Invoice) -> CheckoutSession | None:
    """Return the newest hosted page."""
    pages = repository.list_by_reference(ctx.db, CheckoutSession, invoice.handle, invoice.account)
    return pages[-1] if pages else None


def list_charges(ctx: Context, invoice: Invoice) -> list[Charge]:
    """Return the newest direct charge and all captures, failed ones included, oldest first."""
    direct = find_direct_charge(ctx, invoice)
    authorizations = repository.list_by_reference(
        ctx.db, Authorization, invoice.handle, invoice.account
    )
    rows = ctx.db.all(
        "SELECT body FROM objects WHERE account = ? AND kind = 'charge'"
        " AND json_extract(body, '$.authorization') IN (SELECT value FROM json_each(?))"
        " ORDER BY number",
        invoice.account,
        json.dumps([authorization.id for authorization in authorizations]),
    )
    captures = [Charge.model_validate_json(row["body"]) for row in rows]
    return [*([direct] if direct else []), *captures]


def handle_of_charge(ctx: Context, charge: Charge) -> str:
    """Return the handle of a charge; a capture has that of its authorization."""
    if charge.authorization is None:
        return charge.reference or ""
    return repository.get(ctx.db, Authorization, charge.authorization).reference or ""


def to_card_id(method: str) -> str:
    """Convert the engine's `pm_x` to `ca_x`."""
    return f"ca_{method.removeprefix('pm_')}"


def get_card(ctx: Context, account: str, id: str) -> PaymentMethod:
    """Return a stored card by its `ca_` id; PspError 404 (code 40) if there is none."""
    row = ctx.db.one(
        "SELECT body FROM objects WHERE id = ? AND kind = 'payment_method' AND account = ?",
        f"pm_{id.removeprefix('ca_')}",
        account,
    )
    if row is None or not id.startswith("ca_"):
        raise billwerk_error(40, 404)
    return PaymentMethod.model_validate_json(row["body"])


def find_card_session(ctx: Context, method: PaymentMethod) -> CheckoutSession | None:
    """Return the hosted page that stored a card; None for cards stored otherwise."""
    row = ctx.db.one(
        "SELECT body FROM objects WHERE account = ? AND kind = 'checkout_session'"
        " AND json_extract(body, '$.payment_method') = ?",
        method.account,
        method.id,
    )
    return CheckoutSession.model_validate_json(row["body"]) if row else None


def customer_of_card(ctx: Context, method: PaymentMethod) -> str:
    """Return the customer a card belongs to."""
    page = find_card_session(ctx, method)
    return str(page.extra["customer"]) if page else method.customer


def list_card_sessions(ctx: Context, account: str, customer: str) -> list[CheckoutSession]:
    """Return a customer's hosted pages that stored a card."""
    rows = ctx.db.all(
        "SELECT body FROM objects WHERE account = ? AND kind = 'checkout_session'"
        " AND json_extract(body, '$.extra.customer') = ?"
        " AND json_extract(body, '$.payment_method') IS NOT NULL ORDER BY number",
        account,
        customer,
    )
    return [CheckoutSession.model_validate_json(row["body"]) for row in rows]
