"""What Stripe is asked for: the parameters of its calls, from the port's; pure."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.stripe.instruments import TYPES
from integrator.psp.stripe.money import to_minor
from integrator.psp.stripe.wire import CAPTURE, REFERENCE, PaymentIntent
from integrator.psp.toolkit.instruments import CUSTOMER, METHOD
from integrator.psp.toolkit.redaction import cut
from integrator.psp.toolkit.time_formats import day
from integrator.psp.types import Authorize, Capture, Charge, Refund

Body = dict[str, Any]

SOONEST_DEBIT = timedelta(days=3)
"""Stripe takes a date for a debit that is 3 to 15 days ahead; sooner ones go out at once."""

_LONGEST_TEXT = 1000
_LOCALES = frozenset(
    {"bg", "cs", "da", "de", "el", "en", "es", "et", "fi", "fil", "fr", "hr", "hu", "id", "it"}
    | {"ja", "ko", "lt", "lv", "ms", "mt", "nb", "nl", "pl", "pt", "ro", "ru", "sk", "sl", "sv"}
    | {"th", "tr", "vi", "zh"}
)


def checkout_body(call: Authorize) -> Body:
    """A hosted page that holds the amount, or for 0 only stores the card."""
    amount, currency = to_minor(call.amount, call.currency), call.currency.lower()
    language = (call.payer.language or "").partition("-")[0]
    reference = {REFERENCE: call.reference}
    body = {
        "client_reference_id": call.reference,
        "allowed_payment_method_types": ["card"],
        "customer_creation": "always",
        "customer_email": call.payer.email,
        "locale": language if language in _LOCALES else None,
        "success_url": call.success_url,
        "cancel_url": call.abort_url,
    }
    if amount == 0:
        setup = {"metadata": reference, "description": cut(call.text, _LONGEST_TEXT)}
        return {**body, "mode": "setup", "currency": currency, "setup_intent_data": setup}
    product = {"name": cut(call.text, _LONGEST_TEXT) or call.reference}
    price = {"currency": currency, "unit_amount": amount, "product_data": product}
    intent = {
        "capture_method": "manual",
        "setup_future_usage": "off_session",
        "metadata": reference,
        "description": cut(call.text, _LONGEST_TEXT),
    }
    items = [{"price_data": price, "quantity": 1}]
    return {**body, "mode": "payment", "line_items": items, "payment_intent_data": intent}


def intent_body(call: Authorize | Charge, token: Mapping[str, str]) -> Body:
    """A PaymentIntent on a stored payment method, not to be confirmed yet."""
    return {
        "amount": to_minor(call.amount, call.currency),
        "currency": call.currency.lower(),
        "customer": token.get(CUSTOMER),
        "payment_method": token[METHOD],
        "allowed_payment_method_types": [TYPES[call.role]],
        "capture_method": "manual" if isinstance(call, Authorize) else "automatic",
        "metadata": {REFERENCE: call.reference},
        "description": cut(call.text, _LONGEST_TEXT),
    }


def confirm_body(call: Authorize | Charge, made: PaymentIntent) -> Body:
    """The customer is not there. The same in every repetition: time counts from the object's."""
    body: Body = {"off_session": True}
    wanted = call.execute_on if isinstance(call, Charge) else None
    if call.role is Role.Debit and wanted and wanted - day(made.created) >= SOONEST_DEBIT:
        body["payment_method_options"] = {"sepa_debit": {"target_date": wanted.isoformat()}}
    return body


def setup_body(call: Authorize, customer: str, holder: str, iban: str) -> Body:
    """A mandate for a typed IBAN. Billwerk+ tells no address and no browser of the customer's."""
    details = {"name": holder, "email": call.payer.email}
    method = {"type": "sepa_debit", "sepa_debit": {"iban": iban}, "billing_details": details}
    return {
        "confirm": True,
        "customer": customer,
        "usage": "off_session",
        "allowed_payment_method_types": ["sepa_debit"],
        "payment_method_data": method,
        "mandate_data": {"customer_acceptance": {"type": "offline"}},
        "metadata": {REFERENCE: call.reference},
        "description": cut(call.text, _LONGEST_TEXT),
    }


def capture_body(call: Capture) -> Body:
    """Part or all of a reservation; what is left of it is let go."""
    amount = to_minor(call.amount, call.currency)
    return {"amount_to_capture": amount, "metadata": {CAPTURE: call.reference}}


def refund_body(call: Refund) -> Body:
    """Part or all of a payment."""
    id = call.payment_psp_id
    return {
        "payment_intent" if id.startswith("pi_") else "charge": id,
        "amount": to_minor(call.amount, call.currency),
        "metadata": {REFERENCE: call.reference},
    }
