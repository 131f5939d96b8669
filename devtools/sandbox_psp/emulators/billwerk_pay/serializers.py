"""Serialize the engine's records as Billwerk+ Pay's objects."""

from typing import Any

from devtools.sandbox_psp import repository
from devtools.sandbox_psp.clock import to_iso
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.billwerk_pay import models
from devtools.sandbox_psp.emulators.billwerk_pay.errors import transaction_error
from devtools.sandbox_psp.emulators.billwerk_pay.models import Invoice, to_card_id
from devtools.sandbox_psp.emulators.billwerk_pay.money import to_units
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
_AUTHORIZATION_STATES = {
    "authorized": "authorized",
    "captured": "authorized",
    "pending": "pending",
    "declined": "failed",
    "voided": "cancelled",
    "expired": "failed",
}
_CHARGE_STATES = {
    "succeeded": "settled",
    "pending": "processing",
    "failed": "failed",
    "declined": "failed",
}
_REFUND_STATES = {"succeeded": "refunded", "pending": "processing", "failed": "failed"}
_EXPIRED_ERROR = {"error": "authorization_expired", "error_state": "hard_declined"}


def serialize_charge(ctx: Context, invoice: Invoice) -> dict[str, Any]:
    """Return the current state of an invoice's charge."""
    effective_charges = [
        charge
        for charge in models.list_charges(ctx, invoice)
        if charge.status in ("succeeded", "pending")
    ]
    fields = {
        "handle": invoice.handle,
        "customer": invoice.customer,
        "currency": invoice.currency,
        "created": invoice.created_at,
        "order_lines": invoice.order_lines,
        "refunded_amount": to_units(
            sum(item.amount_refunded for item in effective_charges), invoice.currency
        ),
        "amount": to_units(
            sum(item.amount for item in effective_charges) or invoice.amount, invoice.currency
        ),
        "processing": any(charge.status == "pending" for charge in effective_charges),
    }
    fields |= _serialize_reservation(ctx, invoice)
    if effective_charges:
        last = effective_charges[-1]
        fields |= {
            "state": "pending" if last.status == "pending" else "settled",
            "transaction": last.id,
            "source": serialize_source(ctx, last.account, last.payment_method, last.failure),
        }
        if last.status == "succeeded":
            fields["settled"] = _booked_at(last)
    return fields


def _serialize_reservation(ctx: Context, invoice: Invoice) -> dict[str, Any]:
    """Return the fields of a charge before anything is settled."""
    direct, authorization, page = (
        models.find_direct_charge(ctx, invoice),
        models.find_authorization(ctx, invoice),
        models.find_session(ctx, invoice),
    )
    if direct is not None and direct.failure is not None:
        fields = _failed_fields(direct.failure)
        method = serialize_source(ctx, invoice.account, direct.payment_method, direct.failure)
        return {**fields, "transaction": direct.id, "source": method}
    if authorization is None:
        failure = page.failure if page is not None else None
        return (
            {**_failed_fields(failure), "source": None}
            if failure
            else {"state": "created", "source": None}
        )
    fields = {
        "state": _AUTHORIZATION_STATES[authorization.status],
        "transaction": authorization.id,
        "source": serialize_source(
            ctx, authorization.account, authorization.payment_method, authorization.failure
        ),
        **(_failed_fields(authorization.failure) if authorization.failure else {}),
    }
    if authorization.failure is None:
        fields |= {
            "authorized": authorization.created_at,
            "authorized_amount": to_units(authorization.amount, authorization.currency),
        }
    if authorization.status == "expired":
        fields |= _EXPIRED_ERROR
    if page is not None and page.payment_method is not None:
        fields["recurring_payment_method"] = to_card_id(page.payment_method)
    return fields


def _failed_fields(failure: Failure) -> dict[str, Any]:
    error = transaction_error(failure)
    return {"state": "failed", "error": error["error"], "error_state": error["error_state"]}


def serialize_invoice(ctx: Context, invoice: Invoice) -> dict[str, Any]:
    """Return an invoice with its transactions and credit notes."""
    authorizations = repository.list_by_reference(
        ctx.db, Authorization, invoice.handle, invoice.account
    )
    charges = models.list_charges(ctx, invoice)
    refunds = [refund for charge in charges for refund in repository.list_refunds(ctx.db, charge)]
    transactions = [
        *(serialize_authorization(item) for item in authorizations),
        *(serialize_settle(ctx, charge) for charge in charges),
        *(serialize_refund_transaction(ctx, refund) for refund in refunds),
    ]
    fields = serialize_charge(ctx, invoice)
    members = ("handle", "customer", "state", "amount", "currency", "created", "order_lines")
    return {
        "id": invoice.id,
        "type": "ch",
        **{name: fields[name] for name in members},
        "refunded_amount": fields["refunded_amount"],
        "transactions": sorted(transactions, key=lambda item: str(item["created"])),
        "credit_notes": [
            serialize_credit_note(ctx, credited)
            for credited in refunds
            if credited.status == "succeeded"
        ],
    }


def serialize_authorization(authorization: Authorization) -> dict[str, Any]:
    """Return an authorization as a transaction."""
    card_fields = transaction_error(authorization.failure) if authorization.failure else {}
    fields = _serialize_transaction(
        authorization,
        "authorization",
        authorization.reference or "",
        _AUTHORIZATION_STATES[authorization.status],
        card_fields,
    )
    return fields if authorization.failure else {**fields, "authorized": authorization.created_at}


def serialize_settle(ctx: Context, charge: Charge) -> dict[str, Any]:
    """Return a charge as a transaction."""
    card_fields: dict[str, Any] = transaction_error(charge.failure) if charge.failure else {}
    if charge.authorization is not None:
        card_fields = {**card_fields, "ref_transaction": charge.authorization}
    fields = _serialize_transaction(
        charge,
        "settle",
        models.handle_of_charge(ctx, charge),
        _CHARGE_STATES[charge.status],
        card_fields,
    )
    return {**fields, "settled": _booked_at(charge)} if charge.status == "succeeded" else fields


def serialize_refund_transaction(ctx: Context, refund: Refund) -> dict[str, Any]:
    """Return a refund as a transaction."""
    card_fields = {"ref_transaction": refund.charge}
    card_fields |= transaction_error(refund.failure) if refund.failure else {}
    handle = models.handle_of_charge(ctx, repository.get(ctx.db, Charge, refund.charge))
    return _serialize_transaction(
        refund, "refund", handle, _REFUND_STATES[refund.status], card_fields
    )


def _serialize_transaction(
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
        "card_transaction": card or None,
    }


def serialize_refund(ctx: Context, refund: Refund) -> dict[str, Any]:
    """Return a refund; its transaction has the same id."""
    fields = {
        "id": refund.id,
        "transaction": refund.id,
        "state": _REFUND_STATES[refund.status],
        "invoice": models.handle_of_charge(ctx, repository.get(ctx.db, Charge, refund.charge)),
        "amount": to_units(refund.amount, refund.currency),
        "currency": refund.currency,
        "created": refund.created_at,
        "type": "card",
        "ref_transaction": refund.charge,
    }
    if refund.status == "succeeded":
        fields["credit_note_id"] = _credit_note_id(refund)
    return {**fields, **(transaction_error(refund.failure) if refund.failure else {})}


def serialize_credit_note(ctx: Context, refund: Refund) -> dict[str, Any]:
    """Return the credit note of a successful refund."""
    units = to_units(refund.amount, refund.currency)
    return {
        "id": _credit_note_id(refund),
        "invoice": models.handle_of_charge(ctx, repository.get(ctx.db, Charge, refund.charge)),
        "transaction": refund.id,
        "amount": units,
        "currency": refund.currency,
        "created": refund.created_at,
        "credit_note_lines": [{"text": refund.description or "", "amount": units, "quantity": 1}],
    }


def serialize_dispute(ctx: Context, charge: Charge, chargeback: Chargeback) -> dict[str, Any]:
    """Return a chargeback as a dispute; the engine has only resolved ones."""
    booked = ctx.db.one("SELECT at FROM ledger WHERE psp_id = ?", chargeback.id)
    at = to_iso(booked["at"]) if booked else charge.created_at
    units = to_units(chargeback.amount, charge.currency)
    return {
        "id": chargeback.id,
        "invoice": models.handle_of_charge(ctx, charge),
        "state": "resolved",
        "outcome": "customer_favor_chargeback",
        "reason": "unauthorised",
        "amount": units,
        "outcome_amount": units,
        "created": at,
        "updated": at,
        "resolved": at,
        "description": chargeback.reason_message,
    }


def serialize_payment_method(ctx: Context, payment_method: PaymentMethod) -> dict[str, Any]:
    """Return a stored card, with nested details."""
    page = models.find_card_session(ctx, payment_method)
    return {
        "id": to_card_id(payment_method.id),
        "state": payment_method.status,
        "customer": models.customer_of_card(ctx, payment_method),
        "payment_type": "card",
        "created": page.created_at if page else "2026-01-01T00:00:00.000Z",
        **({"reference": page.id} if page else {}),
        "card": serialize_card(payment_method),
    }


def serialize_customer_card(ctx: Context, page: CheckoutSession) -> dict[str, Any]:
    """Return a stored card as in its customer's list, with flat details."""
    payment_method = repository.get(ctx.db, PaymentMethod, page.payment_method or "")
    fields = serialize_payment_method(ctx, payment_method)
    return {
        **{k: v for k, v in fields.items() if k not in ("card", "payment_type")},
        **serialize_card(payment_method),
    }


def serialize_card(payment_method: PaymentMethod) -> dict[str, Any]:
    """Return a card without its number."""
    card = payment_method.card
    if card is None:
        return {}
    return {
        "card_type": _BRANDS.get(card.brand, "unknown"),
        "exp_date": f"{card.exp_month}-{card.exp_year[-2:]}",
        "masked_card": card.masked,
        "card_country": card.country,
        "gw_ref": payment_method.id,
    }


def serialize_source(
    ctx: Context, account: str, id: str, failure: Failure | None
) -> dict[str, Any]:
    """Return the payment method of a charge."""
    payment_method = repository.get_payment_method(ctx.db, account, id)
    error_fields = {"acquirer_message": failure.message} if failure else {}
    return {
        "type": "card",
        "card": to_card_id(id),
        "provider": "test",
        **serialize_card(payment_method),
        **error_fields,
    }


def _booked_at(charge: Charge) -> str:
    """Return the booking time; the engine books by the day."""
    return max(f"{charge.booked_on}T00:00:00.000Z", charge.created_at)


def _credit_note_id(refund: Refund) -> str:
    return f"cn_{refund.id.removeprefix('re_')}"
