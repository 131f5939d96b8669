"""The engine's records as the dialect shows them."""

from typing import Any

from devtools.sandbox_psp import repository
from devtools.sandbox_psp.clock import iso
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.billwerk_pay import invoices
from devtools.sandbox_psp.emulators.billwerk_pay.errors import transaction_error
from devtools.sandbox_psp.emulators.billwerk_pay.invoices import Invoice, card_id, to_units
from devtools.sandbox_psp.models import (
    Authorization,
    Charge,
    Chargeback,
    CheckoutSession,
    Failure,
    PaymentMethod,
    Refund,
)

_BRANDS = {"visa": "visa", "mastercard": "mc", "amex": "amex"}
_HELD = {
    "authorized": "authorized",
    "captured": "authorized",
    "pending": "pending",
    "declined": "failed",
    "voided": "cancelled",
    "expired": "failed",
}
_TAKEN = {"succeeded": "settled", "pending": "processing", "failed": "failed", "declined": "failed"}
_GIVEN = {"succeeded": "refunded", "pending": "processing", "failed": "failed"}
_LAPSED = {"error": "authorization_expired", "error_state": "hard_declined"}


def charge(ctx: Context, of: Invoice) -> dict[str, Any]:
    """A handle's payment as it stands."""
    taken = [made for made in invoices.settles(ctx, of) if made.status in ("succeeded", "pending")]
    shown = {
        "handle": of.handle,
        "customer": of.customer,
        "currency": of.currency,
        "created": of.created_at,
        "order_lines": of.order_lines,
        "refunded_amount": to_units(sum(m.amount_refunded for m in taken), of.currency),
        "amount": to_units(sum(m.amount for m in taken) or of.amount, of.currency),
        "processing": any(made.status == "pending" for made in taken),
    }
    shown |= _reserved(ctx, of)
    if taken:
        last = taken[-1]
        shown |= {
            "state": "pending" if last.status == "pending" else "settled",
            "transaction": last.id,
            "source": source(ctx, last.account, last.payment_method, last.failure),
        }
        if last.status == "succeeded":
            shown["settled"] = _booked(last)
    return shown


def _reserved(ctx: Context, of: Invoice) -> dict[str, Any]:
    """What a charge shows before anything is taken."""
    direct, held, page = invoices.direct(ctx, of), invoices.held(ctx, of), invoices.session(ctx, of)
    if direct is not None and direct.failure is not None:
        shown = _failed(direct.failure)
        method = source(ctx, of.account, direct.payment_method, direct.failure)
        return {**shown, "transaction": direct.id, "source": method}
    if held is None:
        gone = page.failure if page is not None else None
        return _failed(gone) if gone else {"state": "created", "source": {"type": "card"}}
    shown = {
        "state": _HELD[held.status],
        "transaction": held.id,
        "source": source(ctx, held.account, held.payment_method, held.failure),
        **(_failed(held.failure) if held.failure else {}),
    }
    if held.failure is None:
        shown |= {
            "authorized": held.created_at,
            "authorized_amount": to_units(held.amount, held.currency),
        }
    if held.status == "expired":
        shown |= _LAPSED
    if page is not None and page.payment_method is not None:
        shown["recurring_payment_method"] = card_id(page.payment_method)
    return shown


def _failed(failure: Failure) -> dict[str, Any]:
    why = transaction_error(failure)
    return {"state": "failed", "error": why["error"], "error_state": why["error_state"]}


def invoice(ctx: Context, of: Invoice) -> dict[str, Any]:
    """Everything under a handle."""
    held = repository.by_reference(ctx.db, Authorization, of.handle, of.account)
    taken = invoices.settles(ctx, of)
    given = [back for made in taken for back in repository.refunds_of(ctx.db, made)]
    moved = [
        *(authorization(one) for one in held),
        *(settle(ctx, made) for made in taken),
        *(refund_transaction(ctx, back) for back in given),
    ]
    shown = charge(ctx, of)
    members = ("handle", "customer", "state", "amount", "currency", "created", "order_lines")
    return {
        "id": of.id,
        "type": "ch",
        **{name: shown[name] for name in members},
        "refunded_amount": shown["refunded_amount"],
        "transactions": sorted(moved, key=lambda one: str(one["created"])),
        "credit_notes": [credit_note(ctx, b) for b in given if b.status == "succeeded"],
    }


def authorization(held: Authorization) -> dict[str, Any]:
    """A reservation as a transaction."""
    why = transaction_error(held.failure) if held.failure else {}
    shown = _transaction(held, "authorization", held.reference or "", _HELD[held.status], why)
    return shown if held.failure else {**shown, "authorized": held.created_at}


def settle(ctx: Context, made: Charge) -> dict[str, Any]:
    """Money taken as a transaction."""
    why: dict[str, Any] = transaction_error(made.failure) if made.failure else {}
    if made.authorization is not None:
        why = {**why, "ref_transaction": made.authorization}
    shown = _transaction(made, "settle", invoices.handle_of(ctx, made), _TAKEN[made.status], why)
    return {**shown, "settled": _booked(made)} if made.status == "succeeded" else shown


def refund_transaction(ctx: Context, back: Refund) -> dict[str, Any]:
    """Money given back as a transaction."""
    why = {"ref_transaction": back.charge}
    why |= transaction_error(back.failure) if back.failure else {}
    handle = invoices.handle_of(ctx, repository.get(ctx.db, Charge, back.charge))
    return _transaction(back, "refund", handle, _GIVEN[back.status], why)


def _transaction(
    record: Authorization | Charge | Refund, kind: str, handle: str, state: str, card: Any
) -> dict[str, Any]:
    return {
        "id": record.id,
        "type": kind,
        "state": state,
        "invoice": handle,
        "amount": to_units(record.amount, record.currency),
        "currency": record.currency,
        "created": record.created_at,
        "payment_type": "card",
        "card_transaction": card,
    }


def refund(ctx: Context, back: Refund) -> dict[str, Any]:
    """A refund; its transaction has the same id."""
    shown = {
        "id": back.id,
        "transaction": back.id,
        "state": _GIVEN[back.status],
        "invoice": invoices.handle_of(ctx, repository.get(ctx.db, Charge, back.charge)),
        "amount": to_units(back.amount, back.currency),
        "currency": back.currency,
        "created": back.created_at,
        "type": "card",
        "ref_transaction": back.charge,
    }
    if back.status == "succeeded":
        shown["credit_note_id"] = _note_id(back)
    return {**shown, **(transaction_error(back.failure) if back.failure else {})}


def credit_note(ctx: Context, back: Refund) -> dict[str, Any]:
    """What every successful refund leaves."""
    units = to_units(back.amount, back.currency)
    return {
        "id": _note_id(back),
        "invoice": invoices.handle_of(ctx, repository.get(ctx.db, Charge, back.charge)),
        "transaction": back.id,
        "amount": units,
        "currency": back.currency,
        "created": back.created_at,
        "credit_note_lines": [{"text": back.description or "", "amount": units, "quantity": 1}],
    }


def dispute(ctx: Context, made: Charge, taken: Chargeback) -> dict[str, Any]:
    """A chargeback; the engine knows only those that are over."""
    booked = ctx.db.one("SELECT at FROM ledger WHERE psp_id = ?", taken.id)
    at = iso(booked["at"]) if booked else made.created_at
    units = to_units(taken.amount, made.currency)
    return {
        "id": taken.id,
        "invoice": invoices.handle_of(ctx, made),
        "state": "resolved",
        "outcome": "customer_favor_chargeback",
        "reason": "unauthorised",
        "amount": units,
        "outcome_amount": units,
        "created": at,
        "updated": at,
        "resolved": at,
        "description": taken.reason_message,
    }


def method(ctx: Context, stored: PaymentMethod) -> dict[str, Any]:
    """A stored card, read by its id."""
    page = invoices.stored_by(ctx, stored)
    return {
        "id": card_id(stored.id),
        "state": stored.status,
        "customer": invoices.owner(ctx, stored),
        "payment_type": "card",
        "created": page.created_at if page else "2026-01-01T00:00:00.000Z",
        **({"reference": page.id} if page else {}),
        "card": details(stored),
    }


def customers_card(ctx: Context, page: CheckoutSession) -> dict[str, Any]:
    """A stored card among its customer's, where its details are not nested."""
    stored = repository.get(ctx.db, PaymentMethod, page.payment_method or "")
    shown = method(ctx, stored)
    return {
        **{k: v for k, v in shown.items() if k not in ("card", "payment_type")},
        **details(stored),
    }


def details(stored: PaymentMethod) -> dict[str, Any]:
    """A card without its number."""
    card = stored.card
    if card is None:
        return {}
    return {
        "card_type": _BRANDS.get(card.brand, "unknown"),
        "exp_date": f"{card.exp_month}-{card.exp_year[-2:]}",
        "masked_card": card.masked,
        "card_country": card.country,
        "gw_ref": stored.id,
    }


def source(ctx: Context, account: str, id: str, failure: Failure | None) -> dict[str, Any]:
    """What was charged."""
    stored = repository.method(ctx.db, account, id)
    said = {"acquirer_message": failure.message} if failure else {}
    return {"type": "card", "card": card_id(id), "provider": "test", **details(stored), **said}


def _booked(made: Charge) -> str:
    """The engine books by the day."""
    return max(f"{made.booked_on}T00:00:00.000Z", made.created_at)


def _note_id(back: Refund) -> str:
    return f"cn_{back.id.removeprefix('re_')}"
