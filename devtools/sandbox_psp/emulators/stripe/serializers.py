"""Serialize the engine's records as Stripe's objects."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from devtools.sandbox_psp.clock import now_ms
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.stripe import models
from devtools.sandbox_psp.emulators.stripe.errors import invalid_request, serialize_decline
from devtools.sandbox_psp.emulators.stripe.models import Customer, PaymentIntent, with_prefix
from devtools.sandbox_psp.emulators.stripe.money import to_stripe
from devtools.sandbox_psp.models import (
    Authorization,
    Charge,
    Chargeback,
    CheckoutSession,
    Mandate,
    PaymentMethod,
    Refund,
)

Json = dict[str, Any]

_DASHBOARD_PREFIX = "dashboard_"
_REFUND_FAILURES = {
    "card_expired": "expired_or_canceled_card",
    "insufficient_funds": "insufficient_funds",
}


@dataclass(frozen=True)
class ExpandableRef:
    """A related object: its id, or the whole object if the caller asks to expand it."""

    id: str
    load: Callable[[], Json]


def expand_references(body: Mapping[str, Any], paths: Iterable[str]) -> Json:
    """Return the object with the references in `paths` expanded; StripeError 400 for others."""
    members: dict[str, list[str]] = {}
    for path in paths:
        first, _, rest = path.partition(".")
        members.setdefault(first, []).extend([rest] if rest else [])
    for name in members:
        if not isinstance(body.get(name, 0), ExpandableRef | list | None):
            message = f"This property cannot be expanded ({name})."
            raise invalid_request(message, param="expand")
    return {name: _expand_member(value, members.get(name)) for name, value in body.items()}


def _expand_member(value: Any, paths: list[str] | None) -> Any:
    if isinstance(value, ExpandableRef):
        return value.id if paths is None else expand_references(value.load(), paths)
    if isinstance(value, list):
        return [
            expand_references(item, paths or ()) if isinstance(item, dict) else item
            for item in value
        ]
    return value


def seconds(iso: str) -> int:
    """Convert an ISO 8601 time to unix seconds."""
    return int(datetime.fromisoformat(iso).timestamp())


def serialize_customer(customer: Customer) -> Json:
    """Return a customer."""
    return {
        **_object_fields(customer.id, "customer", customer.created_at),
        "name": customer.name,
        "email": customer.email,
        "address": customer.address,
        "metadata": customer.metadata,
    }


def serialize_payment_method(method: PaymentMethod) -> Json:
    """Return a stored card or bank account; a mandate's id gets the prefix `pm_`."""
    details = method.card or method.sepa_debit
    fields: Json = {
        "id": with_prefix(method.id, "pm"),
        "object": "payment_method",
        "livemode": False,
        "metadata": {},
        "type": method.type,
        "customer": method.customer,
        "billing_details": {"name": details.holder if details else None, "email": None},
    }
    if method.card is not None:
        card = method.card
        fields["card"] = {
            "brand": card.brand,
            "country": card.country,
            "exp_month": int(card.exp_month),
            "exp_year": int(card.exp_year),
            "funding": "credit",
            "last4": card.last4,
        }
    if method.sepa_debit is not None:
        iban = method.sepa_debit.iban
        fields["sepa_debit"] = {"bank_code": iban[4:12], "country": iban[:2], "last4": iban[-4:]}
    return fields


def serialize_mandate(mandate: Mandate) -> Json:
    """Return a mandate."""
    return {
        "id": with_prefix(mandate.id, "mandate"),
        "object": "mandate",
        "livemode": False,
        "status": mandate.status,
        "type": "multi_use",
        "multi_use": {},
        "customer_acceptance": {"accepted_at": None, "type": "offline", "offline": {}},
        "payment_method": with_prefix(mandate.id, "pm"),
        "payment_method_details": {
            "type": "sepa_debit",
            "sepa_debit": {"reference": mandate.id[-16:].upper(), "url": ""},
        },
    }


def serialize_setup_intent(ctx: Context, source: Mandate | CheckoutSession) -> Json:
    """Return the SetupIntent of a mandate, or of a checkout session in mode `setup`."""
    is_mandate = isinstance(source, Mandate)
    method_id = (
        with_prefix(source.id, "pm") if isinstance(source, Mandate) else source.payment_method
    )
    method = models.get_payment_method(ctx, source.account, method_id or "")
    return {
        **_object_fields(with_prefix(source.id, "seti"), "setup_intent", _created_at(ctx, source)),
        "status": "succeeded",
        "usage": "off_session",
        "customer": method.customer,
        "payment_method": ExpandableRef(
            with_prefix(method.id, "pm"), lambda: serialize_payment_method(method)
        ),
        "payment_method_types": ["sepa_debit" if is_mandate else "card"],
        "mandate": (
            ExpandableRef(with_prefix(source.id, "mandate"), lambda: serialize_mandate(source))
            if isinstance(source, Mandate)
            else None
        ),
        "metadata": _reference_metadata(source.reference),
        "last_setup_error": None,
    }


def serialize_session(ctx: Context, session: CheckoutSession) -> Json:
    """Return a checkout session."""
    status = {"open": "open", "completed": "complete"}.get(session.status, "expired")
    is_setup = session.mode == "setup"
    is_completed = session.status == "completed"
    intent_id = None
    if not is_setup and (session.authorization or session.failure):
        intent_id = with_prefix(session.authorization or session.id, "pi")
    return {
        **_object_fields(session.id, "checkout.session", session.created_at),
        "status": status,
        "mode": "setup" if is_setup else "payment",
        "url": session.url if session.status == "open" else None,
        "client_reference_id": session.extra.get("client_reference_id"),
        "currency": session.currency.lower(),
        "amount_total": None if is_setup else to_stripe(session.amount, session.currency),
        "expires_at": _expires_at(session),
        "success_url": session.extra.get("success_url"),
        "cancel_url": session.cancel_url,
        "payment_status": "no_payment_required" if is_setup else "unpaid",
        "metadata": session.extra.get("metadata", {}),
        "payment_intent": (
            ExpandableRef(
                intent_id,
                lambda: serialize_intent(ctx, models.get_intent(ctx, session.account, intent_id)),
            )
            if intent_id
            else None
        ),
        "setup_intent": (
            ExpandableRef(
                with_prefix(session.id, "seti"), lambda: serialize_setup_intent(ctx, session)
            )
            if is_setup and is_completed
            else None
        ),
    }


def serialize_intent(
    ctx: Context,
    intent: PaymentIntent,
    *,
    authorization: Authorization | None = None,
    charge: Charge | None = None,
    snapshot: bool = False,
) -> Json:
    """Return a PaymentIntent: current, or with `snapshot` as of `authorization` and `charge`."""
    if not snapshot:
        authorization, charge = (
            models.find_authorization(ctx, intent),
            models.find_charge(ctx, intent),
        )
    status = _intent_status(intent, authorization, charge)
    failure = (
        intent.failure
        or (authorization and authorization.failure)
        or (charge and charge.failure)
        or None
    )
    is_over = intent.canceled or (
        authorization is not None and authorization.status in ("voided", "expired")
    )
    latest_charge = _latest_charge_ref(ctx, intent, authorization, charge)
    received = charge.amount if charge and status == "succeeded" else 0
    return {
        **_object_fields(intent.id, "payment_intent", intent.created_at),
        "status": status,
        "amount": intent.amount,
        "amount_capturable": intent.amount if status == "requires_capture" else 0,
        "amount_received": to_stripe(received, intent.currency),
        "currency": intent.currency.lower(),
        "capture_method": intent.capture_method,
        "confirmation_method": "automatic",
        "client_secret": f"{intent.id}_secret_of_the_sandbox",
        "customer": intent.customer,
        "payment_method": _payment_method_ref(ctx, intent),
        "payment_method_types": intent.types,
        "metadata": intent.metadata,
        "description": intent.description,
        "setup_future_usage": intent.setup_future_usage,
        "latest_charge": latest_charge,
        "last_payment_error": serialize_decline(failure) if failure else None,
        "cancellation_reason": _cancellation_reason(authorization) if is_over else None,
        "next_action": None,
    }


def serialize_uncaptured_charge(
    ctx: Context, intent: PaymentIntent, authorization: Authorization
) -> Json:
    """Return the charge of an authorization that was not captured."""
    failed = authorization.status == "declined"
    return {
        **_charge_fields(intent, with_prefix(authorization.id, "ch"), authorization),
        "status": "failed" if failed else "succeeded",
        "captured": False,
        "paid": not failed,
        "amount_captured": 0,
        "amount_refunded": 0,
        "disputed": False,
        "balance_transaction": None,
        "failure_code": authorization.failure.code if authorization.failure else None,
        "failure_message": authorization.failure.message if authorization.failure else None,
        "payment_intent": ExpandableRef(intent.id, lambda: serialize_intent(ctx, intent)),
    }


def serialize_charge(ctx: Context, charge: Charge) -> Json:
    """Return a charge, also a failed one."""
    intent = models.intent_of_charge(ctx, charge)
    status = {"declined": "failed"}.get(charge.status, charge.status)
    failure = serialize_decline(charge.failure) if charge.failure else {}
    amount = to_stripe(charge.amount, charge.currency)
    return {
        **_charge_fields(intent, charge.id, models.find_authorization(ctx, intent)),
        "status": status,
        "captured": status == "succeeded",
        "paid": status == "succeeded",
        "amount_captured": amount if status == "succeeded" else 0,
        "amount_refunded": to_stripe(charge.amount_refunded, charge.currency),
        "disputed": bool(charge.chargebacks),
        "balance_transaction": (
            ExpandableRef(
                with_prefix(charge.id, "txn"), lambda: serialize_balance_transaction(ctx, charge)
            )
            if status == "succeeded"
            else None
        ),
        "failure_code": failure.get("decline_code") or failure.get("code"),
        "failure_message": failure.get("message"),
        "payment_intent": ExpandableRef(intent.id, lambda: serialize_intent(ctx, intent)),
    }


def serialize_balance_transaction(ctx: Context, charge: Charge) -> Json:
    """Return the balance transaction of a charge."""
    amount = to_stripe(charge.amount, charge.currency)
    is_debit = charge.payment_method.startswith("mdt_")
    return {
        **_object_fields(with_prefix(charge.id, "txn"), "balance_transaction", charge.created_at),
        "type": "payment" if is_debit else "charge",
        "reporting_category": "charge",
        "amount": amount,
        "fee": 0,
        "net": amount,
        "currency": charge.currency.lower(),
        "status": "pending",
        "source": ExpandableRef(charge.id, lambda: serialize_charge(ctx, charge)),
    }


def serialize_refund(ctx: Context, refund: Refund) -> Json:
    """Return a refund."""
    charge = models.get_owned(ctx, Charge, refund.account, refund.charge, "charge")
    intent = models.intent_of_charge(ctx, charge)
    failure = refund.failure.code if refund.failure else None
    fields = {
        **_object_fields(refund.id, "refund", refund.created_at),
        "status": refund.status,
        "amount": to_stripe(refund.amount, refund.currency),
        "currency": refund.currency.lower(),
        "charge": ExpandableRef(refund.charge, lambda: serialize_charge(ctx, charge)),
        "payment_intent": ExpandableRef(intent.id, lambda: serialize_intent(ctx, intent)),
        "balance_transaction": None,
        "metadata": _reference_metadata(refund.reference),
        "reason": None,
        "failure_reason": _REFUND_FAILURES.get(failure, "unknown") if failure else None,
    }
    if refund.status != "succeeded":
        return fields
    return {**fields, "balance_transaction": _balance_reversal(fields, "refund")}


def serialize_release(ctx: Context, authorization: Authorization) -> Json | None:
    """Return the refund that Stripe creates of released authorized money, None if there is none."""
    intent = models.get_intent(ctx, authorization.account, with_prefix(authorization.id, "pi"))
    charge = models.find_charge(ctx, intent)
    is_over = authorization.status in ("voided", "expired")
    captured_amount = (
        charge.amount
        if charge is not None and charge.status == "succeeded"
        else authorization.amount
    )
    released = to_stripe(
        authorization.amount if is_over else authorization.amount - captured_amount,
        authorization.currency,
    )
    if released == 0:
        return None
    fields = {
        **_object_fields(with_prefix(authorization.id, "re"), "refund", authorization.created_at),
        "status": "succeeded",
        "amount": released,
        "currency": authorization.currency.lower(),
        "charge": with_prefix(authorization.id, "ch"),
        "payment_intent": ExpandableRef(intent.id, lambda: serialize_intent(ctx, intent)),
        "balance_transaction": None,
        "metadata": {},
        "reason": None,
        "failure_reason": None,
    }
    balance_transaction = _balance_reversal(fields, "partial_capture_reversal")
    return fields if is_over else {**fields, "balance_transaction": balance_transaction}


def _balance_reversal(refund: Json, category: str) -> ExpandableRef:
    """Return a reference to the balance transaction of a refund."""
    fields = {
        **refund,
        "id": with_prefix(refund["id"], "txn"),
        "object": "balance_transaction",
        "type": "refund",
        "reporting_category": category,
        "amount": -refund["amount"],
        "fee": 0,
        "source": refund["id"],
    }
    names = ("id", "object", "type", "reporting_category", "amount", "fee", "currency", "created")
    return ExpandableRef(fields["id"], lambda: {name: fields[name] for name in (*names, "source")})


def serialize_dispute(ctx: Context, charge: Charge, chargeback: Chargeback) -> Json:
    """Return a chargeback as a dispute: contestable for a card, final for a debit."""
    intent = models.intent_of_charge(ctx, charge)
    created = f"{chargeback.booked_on}T00:00:00+00:00"
    is_debit = charge.payment_method.startswith("mdt_")
    return {
        **_object_fields(with_prefix(chargeback.id, "dp"), "dispute", created),
        "status": dispute_status(charge, chargeback),
        "amount": to_stripe(chargeback.amount, charge.currency),
        "currency": charge.currency.lower(),
        "charge": ExpandableRef(charge.id, lambda: serialize_charge(ctx, charge)),
        "payment_intent": ExpandableRef(intent.id, lambda: serialize_intent(ctx, intent)),
        "reason": "insufficient_funds" if is_debit else "fraudulent",
        "is_charge_refundable": False,
        "balance_transactions": _dispute_movements(charge, chargeback, created),
        "metadata": {},
    }


def dispute_status(charge: Charge, chargeback: Chargeback) -> str:
    """Return the status of a dispute, decided by evidence or, of a debit, at once."""
    if chargeback.remaining_amount == 0:
        return "won"
    is_debit = charge.payment_method.startswith("mdt_")
    is_lost = chargeback.id in charge.extra.get("lost_disputes", ())
    return "lost" if is_debit or is_lost else "needs_response"


def _dispute_movements(charge: Charge, chargeback: Chargeback, created: str) -> list[Json]:
    """Return the withdrawal, and what came back; a dispute that is won returns the fee, too."""
    fee = chargeback.fee_amount
    entries = [_dispute_entry(charge, chargeback, chargeback.id, created, -chargeback.amount, fee)]
    for reversal in chargeback.reversals:
        at = f"{reversal.booked_on}T00:00:00+00:00"
        returned_fee = -fee if chargeback.remaining_amount == 0 else 0
        entries.append(
            _dispute_entry(charge, chargeback, reversal.id, at, reversal.amount, returned_fee)
        )
    return entries


def _dispute_entry(
    charge: Charge, chargeback: Chargeback, id: str, at: str, amount: int, fee: int
) -> Json:
    return {
        **_object_fields(with_prefix(id, "txn"), "balance_transaction", at),
        "type": "adjustment",
        "reporting_category": "dispute" if amount < 0 else "dispute_reversal",
        "amount": to_stripe(amount, charge.currency),
        "fee": to_stripe(fee, charge.currency),
        "currency": charge.currency.lower(),
        "exchange_rate": None,
        "source": with_prefix(chargeback.id, "dp"),
    }


def _object_fields(id: str, kind: str, created_at: str) -> Json:
    return {"id": id, "object": kind, "created": seconds(created_at), "livemode": False}


def _reference_metadata(reference: str | None) -> dict[str, str]:
    if reference is None or reference.startswith(_DASHBOARD_PREFIX):
        return {}
    return {"reference": reference}


def _created_at(ctx: Context, source: Mandate | CheckoutSession) -> str:
    if isinstance(source, CheckoutSession):
        return source.created_at
    return str(source.extra["created_at"])


def _expires_at(session: CheckoutSession) -> int:
    """Return the expiry; a page that was expired early shows the current time."""
    now = now_ms() // 1000
    expires = seconds(session.expires_at)
    return min(expires, now) if session.status == "expired" else expires


def _intent_status(
    intent: PaymentIntent, authorization: Authorization | None, charge: Charge | None
) -> str:
    if intent.canceled:
        return "canceled"
    if intent.failure is not None:
        return "requires_payment_method"
    if authorization is not None and authorization.status != "captured":
        return _AUTHORIZATION_STATUSES[authorization.status]
    if charge is not None:
        return _CHARGE_STATUSES[charge.status]
    return "requires_confirmation" if intent.payment_method else "requires_payment_method"


_AUTHORIZATION_STATUSES = {
    "authorized": "requires_capture",
    "pending": "processing",
    "declined": "requires_payment_method",
    "voided": "canceled",
    "expired": "canceled",
}
_CHARGE_STATUSES = {
    "succeeded": "succeeded",
    "pending": "processing",
    "failed": "requires_payment_method",
    "declined": "requires_payment_method",
}


def _cancellation_reason(authorization: Authorization | None) -> str:
    return (
        "expired"
        if authorization is not None and authorization.status == "expired"
        else "requested_by_customer"
    )


def _payment_method_ref(ctx: Context, intent: PaymentIntent) -> ExpandableRef | None:
    if intent.payment_method is None:
        return None
    method = models.get_payment_method(ctx, intent.account, intent.payment_method)
    return ExpandableRef(with_prefix(method.id, "pm"), lambda: serialize_payment_method(method))


def _latest_charge_ref(
    ctx: Context, intent: PaymentIntent, authorization: Authorization | None, charge: Charge | None
) -> ExpandableRef | None:
    if charge is not None:
        return ExpandableRef(charge.id, lambda: serialize_charge(ctx, charge))
    if authorization is not None:
        return ExpandableRef(
            with_prefix(authorization.id, "ch"),
            lambda: serialize_uncaptured_charge(ctx, intent, authorization),
        )
    return None


def _charge_fields(intent: PaymentIntent, id: str, authorization: Authorization | None) -> Json:
    metadata = {name: text for name, text in intent.metadata.items() if name != "capture"}
    method_details: Json = (
        {"capture_before": seconds(authorization.expires_at)} if authorization else {}
    )
    method_type = intent.types[0]
    return {
        **_object_fields(id, "charge", intent.created_at),
        "amount": intent.amount,
        "currency": intent.currency.lower(),
        "customer": intent.customer,
        "payment_method": intent.payment_method,
        "payment_method_details": {"type": method_type, method_type: method_details},
        "metadata": metadata,
        "refunded": False,
    }
