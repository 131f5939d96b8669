"""What Stripe's POSTs do, by the engine's own operations."""

import json
from datetime import date, timedelta
from typing import Any

from devtools.sandbox_psp import (
    authorizations,
    charges,
    payment_methods,
    refunds,
    repository,
    sessions,
)
from devtools.sandbox_psp.clock import iso, now_ms, today
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.stripe import models, serializers
from devtools.sandbox_psp.emulators.stripe.errors import (
    StripeError,
    declined,
    missing,
    unacceptable,
)
from devtools.sandbox_psp.emulators.stripe.models import Customer, Intent, turned
from devtools.sandbox_psp.emulators.stripe.money import known, to_engine
from devtools.sandbox_psp.emulators.stripe.requests import (
    CancelParams,
    CaptureParams,
    ConfirmParams,
    CustomerParams,
    IntentParams,
    RefundParams,
    SessionParams,
    SetupParams,
)
from devtools.sandbox_psp.idempotency import Answer, answer
from devtools.sandbox_psp.ids import new_id
from devtools.sandbox_psp.models import Charge, CheckoutSession, Failure, Mandate, Refund
from devtools.sandbox_psp.models import Customer as Payer
from devtools.sandbox_psp.requests import SessionRequest

_DEBIT_DAYS = range(3, 16)


def make_customer(ctx: Context, account: str, asked: CustomerParams) -> Answer:
    """A customer."""
    made = Customer(
        id=new_id("cus"),
        account=account,
        reference=None,
        name=asked.name,
        email=asked.email,
        metadata=asked.metadata,
        created_at=iso(now_ms()),
    )
    repository.save(ctx.db, made)
    return _answer(serializers.customer(made), asked.expand)


def open_session(ctx: Context, account: str, asked: SessionParams, base: str) -> Answer:
    """A hosted page."""
    _check_session(asked)
    prices = [item.price_data for item in asked.line_items]
    currency = known(prices[0].currency if prices else asked.currency or "")
    amount = sum(item.price_data.unit_amount * item.quantity for item in asked.line_items)
    about = asked.payment_intent_data or asked.setup_intent_data
    named = (about.metadata.get("reference") if about else None) or asked.client_reference_id
    id = new_id("cs")
    request = SessionRequest(
        reference=named or id,
        mode="setup" if asked.mode == "setup" else "authorize",
        amount=to_engine(amount, currency),
        currency=currency,
        success_url=asked.success_url.replace("{CHECKOUT_SESSION_ID}", id),
        error_url=asked.cancel_url,
        cancel_url=asked.cancel_url,
        description=prices[0].product_data.name[:500] if prices else None,
        language=asked.locale,
        customer=Payer(email=asked.customer_email),
    )
    extra = {
        "client_reference_id": asked.client_reference_id,
        "success_url": asked.success_url,
    }
    sessions.create(ctx, account, request, base, id=id, extra=extra)
    made = repository.get(ctx.db, CheckoutSession, id)
    return _answer(serializers.session(ctx, made), asked.expand)


def expire_session(ctx: Context, account: str, id: str, expand: list[str]) -> Answer:
    """Close an open page."""
    found = models.owned(ctx, CheckoutSession, account, id, "checkout.session")
    if found.status != "open":
        raise unacceptable("Only Checkout Sessions with a status in [open] can be expired.")
    sessions.close(ctx, found)
    closed = repository.get(ctx.db, CheckoutSession, id)
    return _answer(serializers.session(ctx, closed), expand)


def make_intent(ctx: Context, account: str, asked: IntentParams) -> Answer:
    """A PaymentIntent without effect."""
    currency = known(asked.currency)
    to_engine(asked.amount, currency)
    kinds = asked.allowed_payment_method_types
    if asked.payment_method is not None:
        stored = models.method(ctx, account, asked.payment_method)
        if stored.customer != asked.customer:
            raise unacceptable(
                "The payment method belongs to a Customer. Please include the Customer.",
                param="payment_method",
            )
        if stored.type not in kinds:
            raise _incompatible(f"The payment method type {stored.type} is not allowed here.")
    if "sepa_debit" in kinds and (currency != "EUR" or asked.capture_method == "manual"):
        raise _incompatible("SEPA debits are in euro and captured at once.")
    made = Intent(
        id=new_id("pi"),
        account=account,
        reference=asked.metadata.get("reference"),
        amount=asked.amount,
        currency=currency,
        capture_method=asked.capture_method,
        customer=asked.customer,
        payment_method=asked.payment_method,
        types=list(kinds),
        metadata=asked.metadata,
        description=asked.description,
        created_at=iso(now_ms()),
    )
    repository.save(ctx.db, made)
    return _answer(serializers.intent(ctx, made), asked.expand)


def confirm(ctx: Context, account: str, id: str, asked: ConfirmParams, key: str) -> Answer:
    """The attempt: hold or take the money of a stored payment method."""
    made = _in_state(ctx, account, id, "requires_confirmation", asked.expand)
    _check_date(asked.payment_method_options.sepa_debit.target_date)
    stored = models.method(ctx, account, made.payment_method or "")
    amount = to_engine(made.amount, made.currency)
    if made.manual:
        authorizations.hold(
            ctx,
            stored,
            reference=made.reference or "",
            amount=amount,
            currency=made.currency,
            key=key,
            id=turned(made.id, "auth"),
        )
    else:
        taken = charges.new_charge(
            account=account,
            reference=made.reference or "",
            amount=amount,
            currency=made.currency,
            payment_method=stored.id,
        )
        taken.id, taken.description = turned(made.id, "ch"), made.description
        charges.charge(ctx, stored, taken, key)
    return _attempted(ctx, made, asked.expand)


def capture(ctx: Context, account: str, id: str, asked: CaptureParams, key: str) -> Answer:
    """Take reserved money, once; what is left of it is let go."""
    made = _in_state(ctx, account, id, "requires_capture", asked.expand)
    held = models.held_by(ctx, made)
    if held is None:
        raise missing("payment_intent", id, "intent")
    wanted = made.amount if asked.amount_to_capture is None else asked.amount_to_capture
    made.metadata = {**made.metadata, **asked.metadata}
    repository.save(ctx.db, made)
    again = models.look(ctx, Charge, account, turned(made.id, "ch")) is not None
    charges.capture(
        ctx,
        held,
        reference=asked.metadata.get("capture", made.reference or ""),
        amount=to_engine(wanted, made.currency),
        key=key,
        id=new_id("ch") if again else turned(made.id, "ch"),
    )
    return _attempted(ctx, made, asked.expand)


def cancel(ctx: Context, account: str, id: str, asked: CancelParams, key: str) -> Answer:
    """Give a reservation back, or give up what was never confirmed."""
    made = models.intent(ctx, account, id)
    held = models.held_by(ctx, made)
    if held is not None and held.status == "authorized":
        authorizations.void(ctx, held, reference=made.reference or "", key=key)
    elif serializers.intent(ctx, made)["status"].startswith("requires_"):
        made.canceled = True
        repository.save(ctx.db, made)
    else:
        raise _unexpected(ctx, made, asked.expand)
    return _answer(serializers.intent(ctx, made), asked.expand)


def sign(ctx: Context, account: str, asked: SetupParams) -> Answer:
    """Store a bank account with a mandate."""
    customer = models.owned(ctx, Customer, account, asked.customer, "customer")
    if asked.allowed_payment_method_types != ("sepa_debit",):
        raise _incompatible("The payment method type sepa_debit is not allowed here.")
    given = payment_methods.sign_mandate(
        ctx,
        account,
        reference=asked.metadata.get("reference", ""),
        holder=asked.payment_method_data.billing_details.name,
        iban=asked.payment_method_data.sepa_debit.iban,
        customer=customer.id,
        extra={"created_at": iso(now_ms())},
    )
    made = repository.get(ctx.db, Mandate, _id(given))
    return _answer(serializers.setup_intent(ctx, made), asked.expand)


def refund(ctx: Context, account: str, asked: RefundParams, key: str) -> Answer:
    """Give money of a payment back; a refusal of the payer's bank is a failed refund."""
    charged = refunded(ctx, account, asked)
    left = charges.refundable(ctx, charged)
    amount = left if asked.amount is None else to_engine(asked.amount, charged.currency)
    if charged.chargebacks:
        raise unacceptable("This charge is disputed.", code="charge_disputed")
    if left == 0:
        raise unacceptable("The charge was refunded already.", code="charge_already_refunded")
    reference = asked.metadata.get("reference", "")
    given = refunds.refund(ctx, charged, reference=reference, amount=amount, key=key)
    made = repository.get(ctx.db, Refund, _id(given))
    return _answer(serializers.refund(ctx, made), asked.expand)


def refunded(ctx: Context, account: str, asked: RefundParams) -> Charge:
    """The charge a refund is about; StripeError."""
    if (asked.charge is None) == (asked.payment_intent is None):
        raise unacceptable("One of charge and payment_intent is needed.", code="parameter_missing")
    if asked.charge is not None:
        return models.owned(ctx, Charge, account, asked.charge, "charge")
    made = models.intent(ctx, account, asked.payment_intent or "")
    taken = models.taken_by(ctx, made)
    if taken is None or taken.status != "succeeded":
        message = f"This PaymentIntent ({made.id}) does not have a successful charge to refund."
        raise unacceptable(message, param="payment_intent")
    return taken


def _attempted(ctx: Context, made: Intent, expand: list[str]) -> Answer:
    """200, or 402 with the PaymentIntent if the issuer has refused."""
    taken, held = models.taken_by(ctx, made), models.held_by(ctx, made)
    refusal: Failure | None = None
    if taken is not None and taken.status == "declined":
        refusal = taken.failure
    elif held is not None and held.status == "declined":
        refusal = held.failure
    shown = serializers.expanded(serializers.intent(ctx, made), expand)
    if refusal is None:
        return answer(200, shown)
    return answer(402, {"error": {**declined(refusal), "payment_intent": shown}})


def _in_state(ctx: Context, account: str, id: str, status: str, expand: list[str]) -> Intent:
    made = models.intent(ctx, account, id)
    if serializers.intent(ctx, made)["status"] != status:
        raise _unexpected(ctx, made, expand)
    return made


def _unexpected(ctx: Context, made: Intent, expand: list[str]) -> StripeError:
    shown = serializers.expanded(serializers.intent(ctx, made), expand)
    return unacceptable(
        f"This PaymentIntent's status is {shown['status']}.",
        code="payment_intent_unexpected_state",
        payment_intent=shown,
    )


def _incompatible(message: str) -> StripeError:
    return unacceptable(message, code="payment_intent_incompatible_payment_method")


def _check_session(asked: SessionParams) -> None:
    payment = asked.mode == "payment"
    if payment == (not asked.line_items):
        raise unacceptable("line_items belong to mode payment.", param="line_items")
    if payment == (asked.payment_intent_data is None) or (payment and asked.setup_intent_data):
        raise unacceptable("The data do not fit the mode.", param="payment_intent_data")
    if not payment and asked.currency is None:
        raise unacceptable("Missing required param: currency.", code="parameter_missing")
    if "card" not in asked.allowed_payment_method_types:
        raise unacceptable("No payment method is left.", param="allowed_payment_method_types")


def _check_date(wanted: str | None) -> None:
    days = {today() + timedelta(days=ahead) for ahead in _DEBIT_DAYS}
    if wanted is not None and date.fromisoformat(wanted) not in days:
        param = "payment_method_options[sepa_debit][target_date]"
        raise unacceptable("The target date must be 3 to 15 days ahead.", param=param)


def _id(given: Answer) -> str:
    shown: dict[str, Any] = json.loads(given.body)
    return str(shown.get("object", shown)["id"])


def _answer(view: serializers.View, expand: list[str]) -> Answer:
    return answer(200, serializers.expanded(view, expand))
