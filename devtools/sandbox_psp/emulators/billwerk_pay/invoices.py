"""Where the engine keeps what the dialect speaks of.

A charge of the dialect is an `Invoice` here, together with the engine's authorizations, charges
and checkout sessions of its handle. The engine's ids are the transactions' ids; a stored card's
`pm_` becomes `ca_`. Ledger entries of settles and refunds are booked under the merchant's own mark
in their text, if it has one: `Pro plan [20260115-65a7...]`.
"""

import json
import re
from decimal import Decimal
from typing import Any, ClassVar

from devtools.sandbox_psp import repository
from devtools.sandbox_psp.clock import iso, now_ms
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.billwerk_pay.errors import refusal
from devtools.sandbox_psp.errors import invalid, not_found
from devtools.sandbox_psp.ids import new_id
from devtools.sandbox_psp.models import (
    Authorization,
    Charge,
    CheckoutSession,
    PaymentMethod,
    Record,
)
from devtools.sandbox_psp.money import exponent

_THOUSANDTHS = frozenset({"BHD", "IQD", "KWD", "LYD", "OMR", "TND", "VND"})
_MARK = re.compile(r"\[([^\[\]]+)\]$")


class Invoice(Record):
    """A handle, its customer and what was sold under it; amounts in the engine's minor units."""

    kind: ClassVar[str] = "billwerk_pay_invoice"

    customer: str
    amount: int
    currency: str
    order_lines: list[dict[str, Any]]
    created_at: str

    @property
    def handle(self) -> str:
        """The merchant's name for it."""
        return self.reference or ""


def to_minor(units: int, currency: str) -> int:
    """The dialect's units in the engine's; PspError 422 for what the currency cannot express."""
    factor = 1000 if currency in _THOUSANDTHS else 100
    try:
        minor = Decimal(units).scaleb(exponent(currency)) / factor
    except ValueError:
        raise invalid("parameter_invalid", "currency: not one of ISO 4217") from None
    if minor != int(minor):
        raise invalid("parameter_invalid", "amount: not one of this currency")
    return int(minor)


def to_units(minor: int, currency: str) -> int:
    """The engine's minor units in the dialect's."""
    factor = 1000 if currency in _THOUSANDTHS else 100
    return int(Decimal(minor).scaleb(-exponent(currency)) * factor)


def mark(text: str | None, otherwise: str) -> str:
    """The reference at the end of a merchant's text."""
    found = _MARK.search(text or "")
    return found[1] if found else otherwise


def find(ctx: Context, account: str, handle: str) -> Invoice | None:
    """The invoice of a handle."""
    found = repository.by_reference(ctx.db, Invoice, handle, account)
    return found[0] if found else None


def invoice(ctx: Context, account: str, handle: str) -> Invoice:
    """The invoice of a handle; PspError 404 if there is none."""
    found = find(ctx, account, handle)
    if found is None:
        raise not_found("invoice", handle)
    return found


def opened(
    ctx: Context,
    account: str,
    handle: str,
    *,
    customer: str | None,
    minor: int,
    currency: str,
    text: str | None,
) -> Invoice:
    """The invoice of a handle, made if it is new. What it was made with cannot be changed."""
    if customer is None:
        raise refusal(18)
    found = find(ctx, account, handle)
    if found is None:
        found = Invoice(
            id=new_id("inv"),
            account=account,
            reference=handle,
            customer=customer,
            amount=minor,
            currency=currency,
            order_lines=[],
            created_at=iso(now_ms()),
        )
    if found.customer != customer:
        raise refusal(99)
    if found.currency != currency:
        raise refusal(72)
    found.amount = minor
    found.order_lines = [line(text, minor, currency)]
    repository.save(ctx.db, found)
    return found


def line(text: str | None, minor: int, currency: str) -> dict[str, Any]:
    """An order line."""
    units = to_units(minor, currency)
    return {
        "id": new_id("ol"),
        "ordertext": text or "",
        "amount": units,
        "unit_amount": units,
        "quantity": 1,
        "vat": 0,
        "origin": "ondemand",
        "timestamp": iso(now_ms()),
    }


def direct(ctx: Context, of: Invoice) -> Charge | None:
    """The newest attempt to take money at once."""
    found = repository.by_reference(ctx.db, Charge, of.handle, of.account)
    return next((made for made in reversed(found) if made.authorization is None), None)


def held(ctx: Context, of: Invoice) -> Authorization | None:
    """The newest reservation."""
    found = repository.by_reference(ctx.db, Authorization, of.handle, of.account)
    return found[-1] if found else None


def session(ctx: Context, of: Invoice) -> CheckoutSession | None:
    """The newest hosted page."""
    found = repository.by_reference(ctx.db, CheckoutSession, of.handle, of.account)
    return found[-1] if found else None


def settles(ctx: Context, of: Invoice) -> list[Charge]:
    """Everything taken, or tried to be, oldest first."""
    made = direct(ctx, of)
    reserved = repository.by_reference(ctx.db, Authorization, of.handle, of.account)
    rows = ctx.db.all(
        "SELECT body FROM objects WHERE account = ? AND kind = 'charge'"
        " AND json_extract(body, '$.authorization') IN (SELECT value FROM json_each(?))"
        " ORDER BY number",
        of.account,
        json.dumps([one.id for one in reserved]),
    )
    taken = [Charge.model_validate_json(row["body"]) for row in rows]
    return [*([made] if made else []), *taken]


def handle_of(ctx: Context, made: Charge) -> str:
    """A captured reservation keeps its handle."""
    if made.authorization is None:
        return made.reference or ""
    return repository.get(ctx.db, Authorization, made.authorization).reference or ""


def card_id(method: str) -> str:
    """`pm_x` as the dialect names it."""
    return f"ca_{method.removeprefix('pm_')}"


def card(ctx: Context, account: str, id: str) -> PaymentMethod:
    """A stored card by its id in the dialect; PspError 404 (code 40) if there is none."""
    row = ctx.db.one(
        "SELECT body FROM objects WHERE id = ? AND kind = 'payment_method' AND account = ?",
        f"pm_{id.removeprefix('ca_')}",
        account,
    )
    if row is None or not id.startswith("ca_"):
        raise refusal(40, 404)
    return PaymentMethod.model_validate_json(row["body"])


def stored_by(ctx: Context, method: PaymentMethod) -> CheckoutSession | None:
    """The hosted page a card was typed at; none for cards stored otherwise."""
    row = ctx.db.one(
        "SELECT body FROM objects WHERE account = ? AND kind = 'checkout_session'"
        " AND json_extract(body, '$.payment_method') = ?",
        method.account,
        method.id,
    )
    return CheckoutSession.model_validate_json(row["body"]) if row else None


def owner(ctx: Context, method: PaymentMethod) -> str:
    """The customer a card belongs to."""
    page = stored_by(ctx, method)
    return str(page.extra["customer"]) if page else method.customer


def sessions_of(ctx: Context, account: str, customer: str) -> list[CheckoutSession]:
    """A customer's hosted pages at which a card was stored."""
    rows = ctx.db.all(
        "SELECT body FROM objects WHERE account = ? AND kind = 'checkout_session'"
        " AND json_extract(body, '$.extra.customer') = ?"
        " AND json_extract(body, '$.payment_method') IS NOT NULL ORDER BY number",
        account,
        customer,
    )
    return [CheckoutSession.model_validate_json(row["body"]) for row in rows]
