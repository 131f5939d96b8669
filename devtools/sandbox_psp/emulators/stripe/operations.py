"""Run Stripe's POSTs with the engine's operations."""

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
from devtools.sandbox_psp.clock import now_ms, to_iso, today
from devtools.sandbox_psp.context import Context
from devtools.sandbox_psp.emulators.stripe import disputes, models, serializers
from devtools.sandbox_psp.emulators.stripe.errors import (
    StripeError,
    invalid_request,
    resource_missing,
    serialize_decline,
)
from devtools.sandbox_psp.emulators.stripe.models import Customer, PaymentIntent, with_prefix
from devtools.sandbox_psp.emulators.stripe.money import parse_currency, to_engine
from devtools.sandbox_psp.emulators.stripe.requests import (
    BillingDetails,
    CancelParams,
    CaptureParams,
    ConfirmParams,
    CustomerParams,
    PaymentIntentParams,
    RefundParams,
    SessionParams,
    SetupIntentParams,
)
from devtools.sandbox_psp.idempotency import ApiResponse, json_response
from devtools.sandbox_psp.ids import new_id
from devtools.sandbox_psp.models import Charge, CheckoutSession, Failure, Mandate, Refund
from devtools.sandbox_psp.models import Customer as Payer
from devtools.sandbox_psp.requests import SessionRequest

# A dispute withdraws the whole payment, also what was refunded before.
_DISPUTED_IN_FULL = {"returned_in_full": True}
_TARGET_DATE_DAYS = range(3, 16)
_EEA = frozenset(
    {"AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE"}
    | {"IS", "IT", "LI", "LT", "LU", "LV", "MT", "NL", "NO", "PL", "PT", "RO", "SE", "SI", "SK"}
)


def create_customer(ctx: Context, account: str, params: CustomerParams) -> ApiResponse:
    """Create a customer."""
    customer = Customer(
        id=new_id("cus"),
        account=account,
        reference=None,
        name=params.name,
        email=params.email,
        address=params.address and params.address.model_dump(),
        metadata=params.metadata,
        created_at=to_iso(now_ms()),
    )
    repository.save(ctx.db, customer)
    return _expanded_response(serializers.serialize_customer(customer), params.expand)


def create_session(ctx: Context, account: str, params: SessionParams, base: str) -> ApiResponse:
    """Create a hosted page."""
    _validate_session(params)
    prices = [item.price_data for item in params.line_items]
    currency = parse_currency(prices[0].currency if prices else params.currency or "")
    amount = sum(item.price_data.unit_amount * item.quantity for item in params.line_items)
    data = params.payment_intent_data or params.setup_intent_data
    reference = (data.metadata.get("reference") if data else None) or params.client_reference_id
    id = new_id("cs")
    request = SessionRequest(
        reference=reference or id,
        mode="setup" if params.mode == "setup" else "authorize",
        amount=to_engine(amount, currency),
        currency=currency,
        success_url=params.success_url.replace("{CHECKOUT_SESSION_ID}", id),
        error_url=params.cancel_url,
        cancel_url=params.cancel_url,
        description=prices[0].product_data.name[:500] if prices else None,
        language=params.locale,
        customer=Payer(email=params.customer_email),
    )
    extra = {
        "client_reference_id": params.client_reference_id,
        "success_url": params.success_url,
    }
    sessions.create(ctx, account, request, base, id=id, extra=extra)
    session = repository.get(ctx.db, CheckoutSession, id)
    return _expanded_response(serializers.serialize_session(ctx, session), params.expand)


def expire_session(ctx: Context, account: str, id: str, expand: list[str]) -> ApiResponse:
    """Expire an open page."""
    session = models.get_owned(ctx, CheckoutSession, account, id, "checkout.session")
    if session.status != "open":
        raise invalid_request("Only Checkout Sessions with a status in [open] can be expired.")
    sessions.close(ctx, session)
    closed = repository.get(ctx.db, CheckoutSession, id)
    return _expanded_response(serializers.serialize_session(ctx, closed), expand)


def create_intent(ctx: Context, account: str, params: PaymentIntentParams) -> ApiResponse:
    """Create a PaymentIntent, not confirmed yet."""
    currency = parse_currency(params.currency)
    to_engine(params.amount, currency)
    method_types = params.allowed_payment_method_types
    if params.payment_method is not None:
        method = models.get_payment_method(ctx, account, params.payment_method)
        if method.customer != params.customer:
            raise invalid_request(
                "The payment method belongs to a Customer. Please include the Customer.",
                param="payment_method",
            )
        if method.type not in method_types:
            raise _incompatible_payment_method(
                f"The payment method type {method.type} is not allowed here."
            )
    if "sepa_debit" in method_types and (currency != "EUR" or params.capture_method == "manual"):
        raise _incompatible_payment_method("SEPA debits are in euro and captured at once.")
    intent = PaymentIntent(
        id=new_id("pi"),
        account=account,
        reference=params.metadata.get("reference"),
        amount=params.amount,
        currency=currency,
        capture_method=params.capture_method,
        customer=params.customer,
        payment_method=params.payment_method,
        types=list(method_types),
        metadata=params.metadata,
        description=params.description,
        created_at=to_iso(now_ms()),
    )
    repository.save(ctx.db, intent)
    return _expanded_response(serializers.serialize_intent(ctx, intent), params.expand)


def confirm_intent(
    ctx: Context, account: str, id: str, params: ConfirmParams, key: str
) -> ApiResponse:
    """Authorize or charge the PaymentIntent's payment method."""
    intent = _get_intent_in_state(ctx, account, id, "requires_confirmation", params.expand)
    _validate_target_date(params.payment_method_options.sepa_debit.target_date)
    method = models.get_payment_method(ctx, account, intent.payment_method or "")
    amount = to_engine(intent.amount, intent.currency)
    if intent.is_manual:
        authorizations.create_authorization(
            ctx,
            method,
            reference=intent.reference or "",
            amount=amount,
            currency=intent.currency,
            key=key,
            id=with_prefix(intent.id, "auth"),
        )
    else:
        charge = charges.build_charge(
            account=account,
            reference=intent.reference or "",
            amount=amount,
            currency=intent.currency,
            payment_method=method.id,
        )
        charge.id, charge.description = with_prefix(intent.id, "ch"), intent.description
        charge.extra |= _DISPUTED_IN_FULL
        charges.create(ctx, method, charge, key)
    return _attempt_response(ctx, intent, params.expand)


def capture_intent(
    ctx: Context, account: str, id: str, params: CaptureParams, key: str
) -> ApiResponse:
    """Capture an authorized PaymentIntent, once; the rest is released."""
    intent = _get_intent_in_state(ctx, account, id, "requires_capture", params.expand)
    authorization = models.find_authorization(ctx, intent)
    if authorization is None:
        raise resource_missing("payment_intent", id, "intent")
    amount = intent.amount if params.amount_to_capture is None else params.amount_to_capture
    intent.metadata = {**intent.metadata, **params.metadata}
    repository.save(ctx.db, intent)
    already_captured = models.find(ctx, Charge, account, with_prefix(intent.id, "ch")) is not None
    charges.capture(
        ctx,
        authorization,
        reference=params.metadata.get("capture", intent.reference or ""),
        amount=to_engine(amount, intent.currency),
        key=key,
        id=new_id("ch") if already_captured else with_prefix(intent.id, "ch"),
    )
    if (charge := models.find_charge(ctx, intent)) is not None:
        charge.extra |= _DISPUTED_IN_FULL
        repository.save(ctx.db, charge)
    return _attempt_response(ctx, intent, params.expand)


def cancel_intent(
    ctx: Context, account: str, id: str, params: CancelParams, key: str
) -> ApiResponse:
    """Void an authorized PaymentIntent, or cancel one that was never confirmed."""
    intent = models.get_intent(ctx, account, id)
    authorization = models.find_authorization(ctx, intent)
    if authorization is not None and authorization.status == "authorized":
        authorizations.void(ctx, authorization, reference=intent.reference or "", key=key)
    elif serializers.serialize_intent(ctx, intent)["status"].startswith("requires_"):
        intent.canceled = True
        repository.save(ctx.db, intent)
    else:
        raise _unexpected_state(ctx, intent, params.expand)
    return _expanded_response(serializers.serialize_intent(ctx, intent), params.expand)


def create_setup_intent(ctx: Context, account: str, params: SetupIntentParams) -> ApiResponse:
    """Store a bank account with a mandate."""
    customer = models.get_owned(ctx, Customer, account, params.customer, "customer")
    if params.allowed_payment_method_types != ("sepa_debit",):
        raise _incompatible_payment_method(
            "The payment method type sepa_debit is not allowed here."
        )
    method = params.payment_method_data
    _require_address(method.sepa_debit.iban, method.billing_details)
    response = payment_methods.sign_mandate(
        ctx,
        account,
        reference=params.metadata.get("reference", ""),
        holder=method.billing_details.name,
        iban=method.sepa_debit.iban,
        customer=customer.id,
        extra={"created_at": to_iso(now_ms())},
    )
    mandate = repository.get(ctx.db, Mandate, _created_id(response))
    return _expanded_response(serializers.serialize_setup_intent(ctx, mandate), params.expand)


def create_refund(ctx: Context, account: str, params: RefundParams, key: str) -> ApiResponse:
    """Refund a payment; a rejection by the payer's bank is a failed refund."""
    charge = charge_to_refund(ctx, account, params)
    refundable = charges.refundable_amount(ctx, charge)
    amount = refundable if params.amount is None else to_engine(params.amount, charge.currency)
    if disputes.is_disputed(charge):
        raise invalid_request("This charge is disputed.", code="charge_disputed")
    if refundable <= 0:
        raise invalid_request("The charge was refunded already.", code="charge_already_refunded")
    reference = params.metadata.get("reference", "")
    response = refunds.create(ctx, charge, reference=reference, amount=amount, key=key)
    new_refund = repository.get(ctx.db, Refund, _created_id(response))
    return _expanded_response(serializers.serialize_refund(ctx, new_refund), params.expand)


def charge_to_refund(ctx: Context, account: str, params: RefundParams) -> Charge:
    """Return the charge to refund; StripeError if there is none."""
    if (params.charge is None) == (params.payment_intent is None):
        raise invalid_request(
            "One of charge and payment_intent is needed.", code="parameter_missing"
        )
    if params.charge is not None:
        return models.get_owned(ctx, Charge, account, params.charge, "charge")
    intent = models.get_intent(ctx, account, params.payment_intent or "")
    charge = models.find_charge(ctx, intent)
    if charge is None or charge.status != "succeeded":
        message = f"This PaymentIntent ({intent.id}) does not have a successful charge to refund."
        raise invalid_request(message, param="payment_intent")
    return charge


def _attempt_response(ctx: Context, intent: PaymentIntent, expand: list[str]) -> ApiResponse:
    """Return 200, or 402 with the PaymentIntent if the issuer has declined."""
    charge, authorization = models.find_charge(ctx, intent), models.find_authorization(ctx, intent)
    failure: Failure | None = None
    if charge is not None and charge.status == "declined":
        failure = charge.failure
    elif authorization is not None and authorization.status == "declined":
        failure = authorization.failure
    body = serializers.expand_references(serializers.serialize_intent(ctx, intent), expand)
    if failure is None:
        return json_response(200, body)
    return json_response(402, {"error": {**serialize_decline(failure), "payment_intent": body}})


def _get_intent_in_state(
    ctx: Context, account: str, id: str, status: str, expand: list[str]
) -> PaymentIntent:
    intent = models.get_intent(ctx, account, id)
    if serializers.serialize_intent(ctx, intent)["status"] != status:
        raise _unexpected_state(ctx, intent, expand)
    return intent


def _unexpected_state(ctx: Context, intent: PaymentIntent, expand: list[str]) -> StripeError:
    body = serializers.expand_references(serializers.serialize_intent(ctx, intent), expand)
    return invalid_request(
        f"This PaymentIntent's status is {body['status']}.",
        code="payment_intent_unexpected_state",
        payment_intent=body,
    )


def _incompatible_payment_method(message: str) -> StripeError:
    return invalid_request(message, code="payment_intent_incompatible_payment_method")


def _validate_session(params: SessionParams) -> None:
    is_payment = params.mode == "payment"
    if is_payment == (not params.line_items):
        raise invalid_request("line_items belong to mode payment.", param="line_items")
    if is_payment == (params.payment_intent_data is None) or (
        is_payment and params.setup_intent_data
    ):
        raise invalid_request("The data do not fit the mode.", param="payment_intent_data")
    if not is_payment and params.currency is None:
        raise invalid_request("Missing required param: currency.", code="parameter_missing")
    if "card" not in params.allowed_payment_method_types:
        raise invalid_request("No payment method is left.", param="allowed_payment_method_types")


def _validate_target_date(target_date: str | None) -> None:
    allowed = {today() + timedelta(days=ahead) for ahead in _TARGET_DATE_DAYS}
    if target_date is not None and date.fromisoformat(target_date) not in allowed:
        param = "payment_method_options[sepa_debit][target_date]"
        raise invalid_request("The target date must be 3 to 15 days ahead.", param=param)


def _require_address(iban: str, details: BillingDetails) -> None:
    """Refuse accounts outside the EEA without an address.

    https://docs.stripe.com/changelog/endive/2026-09-30/require-sepa-direct-debit-address-fields
    """
    if iban[:2].upper() in _EEA:
        return
    members = details.address.model_dump() if details.address else {}
    for name in ("country", "line1", "city", "postal_code"):
        if not members.get(name):
            param = f"payment_method_data[billing_details][address][{name}]"
            message = f"Missing required param: {param}."
            raise invalid_request(message, code="parameter_missing", param=param)


def _created_id(response: ApiResponse) -> str:
    body: dict[str, Any] = json.loads(response.body)
    return str(body.get("object", body)["id"])


def _expanded_response(body: serializers.Json, expand: list[str]) -> ApiResponse:
    return json_response(200, serializers.expand_references(body, expand))
