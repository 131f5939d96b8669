"""The engine's records as Stripe's objects."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from devtools.sandbox_psp.clock import now_ms
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.stripe import models
from devtools.sandbox_psp.emulators.stripe.errors import declined, unacceptable
from devtools.sandbox_psp.emulators.stripe.models import Customer, Intent, turned
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

View = dict[str, Any]

_DASHBOARD = "dashboard_"
_REFUND_FAILURES = {
    "card_expired": "expired_or_canceled_card",
    "insufficient_funds": "insufficient_funds",
}


@dataclass(frozen=True)
class Ref:
    """A related object: its id, or, if the caller asks to expand it, the whole."""

    id: str
    load: Callable[[], View]


def expanded(view: Mapping[str, Any], paths: Iterable[str]) -> View:
    """The object with everything named in `paths` in full; StripeError 400 for what cannot be."""
    wanted: dict[str, list[str]] = {}
    for path in paths:
        first, _, rest = path.partition(".")
        wanted.setdefault(first, []).extend([rest] if rest else [])
    for name in wanted:
        if not isinstance(view.get(name, 0), Ref | list | None):
            message = f"This property cannot be expanded ({name})."
            raise unacceptable(message, param="expand")
    return {name: _member(value, wanted.get(name)) for name, value in view.items()}


def _member(value: Any, paths: list[str] | None) -> Any:
    if isinstance(value, Ref):
        return value.id if paths is None else expanded(value.load(), paths)
    if isinstance(value, list):
        return [expanded(one, paths or ()) if isinstance(one, dict) else one for one in value]
    return value


def seconds(iso: str) -> int:
    """Unix time."""
    return int(datetime.fromisoformat(iso).timestamp())


def customer(found: Customer) -> View:
    """A customer."""
    return {
        **_head(found.id, "customer", found.created_at),
        "name": found.name,
        "email": found.email,
        "metadata": found.metadata,
    }


def payment_method(found: PaymentMethod) -> View:
    """A stored card or bank account; a mandate's has its id turned to `pm_`."""
    details = found.card or found.sepa_debit
    view: View = {
        "id": turned(found.id, "pm"),
        "object": "payment_method",
        "livemode": False,
        "metadata": {},
        "type": found.type,
        "customer": found.customer,
        "billing_details": {"name": details.holder if details else None, "email": None},
    }
    if found.card is not None:
        card = found.card
        view["card"] = {
            "brand": card.brand,
            "country": card.country,
            "exp_month": int(card.exp_month),
            "exp_year": int(card.exp_year),
            "funding": "credit",
            "last4": card.last4,
        }
    if found.sepa_debit is not None:
        iban = found.sepa_debit.iban
        view["sepa_debit"] = {"bank_code": iban[4:12], "country": iban[:2], "last4": iban[-4:]}
    return view


def mandate(found: Mandate) -> View:
    """A mandate."""
    return {
        "id": turned(found.id, "mandate"),
        "object": "mandate",
        "livemode": False,
        "status": found.status,
        "type": "multi_use",
        "multi_use": {},
        "customer_acceptance": {"accepted_at": None, "type": "offline", "offline": {}},
        "payment_method": turned(found.id, "pm"),
        "payment_method_details": {
            "type": "sepa_debit",
            "sepa_debit": {"reference": found.id[-16:].upper(), "url": ""},
        },
    }


def setup_intent(ctx: Context, found: Mandate | CheckoutSession) -> View:
    """What has stored a payment method: typed payment data, or a checkout in mode `setup`."""
    signed = isinstance(found, Mandate)
    method_id = turned(found.id, "pm") if isinstance(found, Mandate) else found.payment_method
    stored = models.method(ctx, found.account, method_id or "")
    return {
        **_head(turned(found.id, "seti"), "setup_intent", _created(ctx, found)),
        "status": "succeeded",
        "usage": "off_session",
        "customer": stored.customer,
        "payment_method": Ref(turned(stored.id, "pm"), lambda: payment_method(stored)),
        "payment_method_types": ["sepa_debit" if signed else "card"],
        "mandate": (
            Ref(turned(found.id, "mandate"), lambda: mandate(found))
            if isinstance(found, Mandate)
            else None
        ),
        "metadata": _named(found.reference),
        "last_setup_error": None,
    }


def session(ctx: Context, found: CheckoutSession) -> View:
    """A visit to the hosted page."""
    status = {"open": "open", "completed": "complete"}.get(found.status, "expired")
    setup = found.mode == "setup"
    done = found.status == "completed"
    about = None
    if not setup and (found.authorization or found.failure):
        about = turned(found.authorization or found.id, "pi")
    return {
        **_head(found.id, "checkout.session", found.created_at),
        "status": status,
        "mode": "setup" if setup else "payment",
        "url": found.url if found.status == "open" else None,
        "client_reference_id": found.extra.get("client_reference_id"),
        "currency": found.currency.lower(),
        "amount_total": None if setup else to_stripe(found.amount, found.currency),
        "expires_at": _ends(found),
        "success_url": found.extra.get("success_url"),
        "cancel_url": found.cancel_url,
        "payment_status": "no_payment_required" if setup else "unpaid",
        "metadata": found.extra.get("metadata", {}),
        "payment_intent": (
            Ref(about, lambda: intent(ctx, models.intent(ctx, found.account, about)))
            if about
            else None
        ),
        "setup_intent": (
            Ref(turned(found.id, "seti"), lambda: setup_intent(ctx, found))
            if setup and done
            else None
        ),
    }


def intent(
    ctx: Context,
    found: Intent,
    *,
    held: Authorization | None = None,
    taken: Charge | None = None,
    snapshot: bool = False,
) -> View:
    """A PaymentIntent as it is, or with `snapshot` as `held` and `taken` say it was."""
    if not snapshot:
        held, taken = models.held_by(ctx, found), models.taken_by(ctx, found)
    status = _status(found, held, taken)
    failure = found.failure or (held and held.failure) or (taken and taken.failure) or None
    over = found.canceled or (held is not None and held.status in ("voided", "expired"))
    last = _latest(ctx, found, held, taken)
    received = taken.amount if taken and status == "succeeded" else 0
    return {
        **_head(found.id, "payment_intent", found.created_at),
        "status": status,
        "amount": found.amount,
        "amount_capturable": found.amount if status == "requires_capture" else 0,
        "amount_received": to_stripe(received, found.currency),
        "currency": found.currency.lower(),
        "capture_method": found.capture_method,
        "confirmation_method": "automatic",
        "client_secret": f"{found.id}_secret_of_the_sandbox",
        "customer": found.customer,
        "payment_method": _method_ref(ctx, found),
        "payment_method_types": found.types,
        "metadata": found.metadata,
        "description": found.description,
        "setup_future_usage": found.setup_future_usage,
        "latest_charge": last,
        "last_payment_error": declined(failure) if failure else None,
        "cancellation_reason": _reason(held) if over else None,
        "next_action": None,
    }


def uncaptured(ctx: Context, found: Intent, held: Authorization) -> View:
    """The charge of a reservation that nobody has captured."""
    failed = held.status == "declined"
    return {
        **_charge_head(found, turned(held.id, "ch"), held),
        "status": "failed" if failed else "succeeded",
        "captured": False,
        "paid": not failed,
        "amount_captured": 0,
        "amount_refunded": 0,
        "disputed": False,
        "balance_transaction": None,
        "failure_code": held.failure.code if held.failure else None,
        "failure_message": held.failure.message if held.failure else None,
        "payment_intent": Ref(found.id, lambda: intent(ctx, found)),
    }


def charge(ctx: Context, found: Charge) -> View:
    """Money taken, or tried to be."""
    made = models.of_charge(ctx, found)
    status = {"declined": "failed"}.get(found.status, found.status)
    failure = declined(found.failure) if found.failure else {}
    amount = to_stripe(found.amount, found.currency)
    return {
        **_charge_head(made, found.id, models.held_by(ctx, made)),
        "status": status,
        "captured": status == "succeeded",
        "paid": status == "succeeded",
        "amount_captured": amount if status == "succeeded" else 0,
        "amount_refunded": to_stripe(found.amount_refunded, found.currency),
        "disputed": bool(found.chargebacks),
        "balance_transaction": (
            Ref(turned(found.id, "txn"), lambda: balance_transaction(ctx, found))
            if status == "succeeded"
            else None
        ),
        "failure_code": failure.get("decline_code") or failure.get("code"),
        "failure_message": failure.get("message"),
        "payment_intent": Ref(made.id, lambda: intent(ctx, made)),
    }


def balance_transaction(ctx: Context, found: Charge) -> View:
    """What a charge has brought."""
    amount = to_stripe(found.amount, found.currency)
    debit = found.payment_method.startswith("mdt_")
    return {
        **_head(turned(found.id, "txn"), "balance_transaction", found.created_at),
        "type": "payment" if debit else "charge",
        "reporting_category": "charge",
        "amount": amount,
        "fee": 0,
        "net": amount,
        "currency": found.currency.lower(),
        "status": "pending",
        "source": Ref(found.id, lambda: charge(ctx, found)),
    }


def refund(ctx: Context, found: Refund) -> View:
    """Money given back."""
    charged = models.owned(ctx, Charge, found.account, found.charge, "charge")
    made = models.of_charge(ctx, charged)
    failure = found.failure.code if found.failure else None
    view = {
        **_head(found.id, "refund", found.created_at),
        "status": found.status,
        "amount": to_stripe(found.amount, found.currency),
        "currency": found.currency.lower(),
        "charge": Ref(found.charge, lambda: charge(ctx, charged)),
        "payment_intent": Ref(made.id, lambda: intent(ctx, made)),
        "balance_transaction": None,
        "metadata": _named(found.reference),
        "reason": None,
        "failure_reason": _REFUND_FAILURES.get(failure, "unknown") if failure else None,
    }
    if found.status != "succeeded":
        return view
    return {**view, "balance_transaction": _given_back(view, "refund")}


def let_go(ctx: Context, held: Authorization) -> View | None:
    """The refund that Stripe makes of what was held and is not any more; None if there is none."""
    made = models.intent(ctx, held.account, turned(held.id, "pi"))
    taken = models.taken_by(ctx, made)
    over = held.status in ("voided", "expired")
    captured = taken.amount if taken is not None and taken.status == "succeeded" else held.amount
    rest = to_stripe(held.amount if over else held.amount - captured, held.currency)
    if rest == 0:
        return None
    view = {
        **_head(turned(held.id, "re"), "refund", held.created_at),
        "status": "succeeded",
        "amount": rest,
        "currency": held.currency.lower(),
        "charge": turned(held.id, "ch"),
        "payment_intent": Ref(made.id, lambda: intent(ctx, made)),
        "balance_transaction": None,
        "metadata": {},
        "reason": None,
        "failure_reason": None,
    }
    moved = _given_back(view, "partial_capture_reversal")
    return view if over else {**view, "balance_transaction": moved}


def _given_back(refund: View, category: str) -> Ref:
    """The movement of a refund on the balance."""
    view = {
        **refund,
        "id": turned(refund["id"], "txn"),
        "object": "balance_transaction",
        "type": "refund",
        "reporting_category": category,
        "amount": -refund["amount"],
        "fee": 0,
        "source": refund["id"],
    }
    names = ("id", "object", "type", "reporting_category", "amount", "fee", "currency", "created")
    return Ref(view["id"], lambda: {name: view[name] for name in (*names, "source")})


def dispute(ctx: Context, found: Charge, taken: Chargeback) -> View:
    """Money the payer's bank took back: contestable for a card, final for a debit."""
    made = models.of_charge(ctx, found)
    final = found.payment_method.startswith("mdt_")
    amount = to_stripe(taken.amount, found.currency)
    created = f"{taken.booked_on}T00:00:00+00:00"
    moved = {
        **_head(turned(taken.id, "txn"), "balance_transaction", created),
        "type": "adjustment",
        "amount": -amount,
        "fee": to_stripe(taken.fee_amount, found.currency),
        "currency": found.currency.lower(),
    }
    return {
        **_head(turned(taken.id, "dp"), "dispute", created),
        "status": "lost" if final else "needs_response",
        "amount": amount,
        "currency": found.currency.lower(),
        "charge": Ref(found.id, lambda: charge(ctx, found)),
        "payment_intent": Ref(made.id, lambda: intent(ctx, made)),
        "reason": "insufficient_funds" if final else "fraudulent",
        "is_charge_refundable": False,
        "balance_transactions": [moved],
        "metadata": {},
    }


def _head(id: str, kind: str, created_at: str) -> View:
    return {"id": id, "object": kind, "created": seconds(created_at), "livemode": False}


def _named(reference: str | None) -> dict[str, str]:
    if reference is None or reference.startswith(_DASHBOARD):
        return {}
    return {"reference": reference}


def _created(ctx: Context, found: Mandate | CheckoutSession) -> str:
    if isinstance(found, CheckoutSession):
        return found.created_at
    return str(found.extra["created_at"])


def _ends(found: CheckoutSession) -> int:
    """A page whose time was made to run out says so."""
    now = now_ms() // 1000
    ends = seconds(found.expires_at)
    return min(ends, now) if found.status == "expired" else ends


def _status(found: Intent, held: Authorization | None, taken: Charge | None) -> str:
    if found.canceled:
        return "canceled"
    if found.failure is not None:
        return "requires_payment_method"
    if held is not None and held.status != "captured":
        return _HELD[held.status]
    if taken is not None:
        return _TAKEN[taken.status]
    return "requires_confirmation" if found.payment_method else "requires_payment_method"


_HELD = {
    "authorized": "requires_capture",
    "pending": "processing",
    "declined": "requires_payment_method",
    "voided": "canceled",
    "expired": "canceled",
}
_TAKEN = {
    "succeeded": "succeeded",
    "pending": "processing",
    "failed": "requires_payment_method",
    "declined": "requires_payment_method",
}


def _reason(held: Authorization | None) -> str:
    return "expired" if held is not None and held.status == "expired" else "requested_by_customer"


def _method_ref(ctx: Context, found: Intent) -> Ref | None:
    if found.payment_method is None:
        return None
    stored = models.method(ctx, found.account, found.payment_method)
    return Ref(turned(stored.id, "pm"), lambda: payment_method(stored))


def _latest(
    ctx: Context, found: Intent, held: Authorization | None, taken: Charge | None
) -> Ref | None:
    if taken is not None:
        return Ref(taken.id, lambda: charge(ctx, taken))
    if held is not None:
        return Ref(turned(held.id, "ch"), lambda: uncaptured(ctx, found, held))
    return None


def _charge_head(found: Intent, id: str, held: Authorization | None) -> View:
    copied = {name: text for name, text in found.metadata.items() if name != "capture"}
    card: View = {"capture_before": seconds(held.expires_at)} if held else {}
    kind = found.types[0]
    return {
        **_head(id, "charge", found.created_at),
        "amount": found.amount,
        "currency": found.currency.lower(),
        "customer": found.customer,
        "payment_method": found.payment_method,
        "payment_method_details": {"type": kind, kind: card},
        "metadata": copied,
        "refunded": False,
    }
