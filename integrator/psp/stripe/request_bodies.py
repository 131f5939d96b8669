"""Request bodies for Stripe, built from the port's calls; pure."""

from collections.abc import Mapping
from typing import Any

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.stripe.instruments import TYPES
from integrator.psp.stripe.money import to_minor
from integrator.psp.stripe.wire import CAPTURE, REFERENCE, PaymentIntent
from integrator.psp.toolkit.instruments import CUSTOMER, METHOD
from integrator.psp.toolkit.redaction import truncate
from integrator.psp.toolkit.time_formats import utc_date
from integrator.psp.types import Authorize, Capture, Charge, DateWindow, Refund

Body = dict[str, Any]

DEBIT_DATES = DateWindow(earliest_days=3, latest_days=15)
"""https://docs.stripe.com/changelog/acacia/2025-02-24/target-date"""

_MAX_TEXT_LENGTH = 1000
_LOCALES = frozenset(
    {"bg", "cs", "da", "de", "el", "en", "es", "et", "fi", "fil", "fr", "hr", "hu", "id", "it"}
    | {"ja", "ko", "lt", "lv", "ms", "mt", "nb", "nl", "pl", "pt", "ro", "ru", "sk", "sl", "sv"}
    | {"th", "tr", "vi", "zh"}
)


def checkout_body(call: Authorize) -> Body:
    """Build a hosted checkout that reserves the amount, or for 0 only stores the card."""
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
        setup = {"metadata": reference, "description": truncate(call.text, _MAX_TEXT_LENGTH)}
        return {**body, "mode": "setup", "currency": currency, "setup_intent_data": setup}
    product = {"name": truncate(call.text, _MAX_TEXT_LENGTH) or call.reference}
    price = {"currency": currency, "unit_amount": amount, "product_data": product}
    intent = {
        "capture_method": "manual",
        "setup_future_usage": "off_session",
        "metadata": reference,
        "description": truncate(call.text, _MAX_TEXT_LENGTH),
    }
    items = [{"price_data": price, "quantity": 1}]
    return {**body, "mode": "payment", "line_items": items, "payment_intent_data": intent}


def intent_body(call: Authorize | Charge, token: Mapping[str, str]) -> Body:
    """Build an unconfirmed PaymentIntent on a stored payment method."""
    return {
        "amount": to_minor(call.amount, call.currency),
        "currency": call.currency.lower(),
        "customer": token.get(CUSTOMER),
        "payment_method": token[METHOD],
        "allowed_payment_method_types": [TYPES[call.role]],
        "capture_method": "manual" if isinstance(call, Authorize) else "automatic",
        "metadata": {REFERENCE: call.reference},
        "description": truncate(call.text, _MAX_TEXT_LENGTH),
    }


def confirm_body(call: Authorize | Charge, intent: PaymentIntent) -> Body:
    """Build the confirmation without a customer present.

    It is the same in every retry, since days are counted from the creation of the intent. A debit
    that is too near is sent without a date.
    """
    body: Body = {"off_session": True}
    execute_on = call.execute_on if isinstance(call, Charge) else None
    if (
        call.role is Role.Debit
        and execute_on
        and (execute_on - utc_date(intent.created)).days >= DEBIT_DATES.earliest_days
    ):
        body["payment_method_options"] = {"sepa_debit": {"target_date": execute_on.isoformat()}}
    return body


def setup_body(call: Authorize, customer: str, holder: str, iban: str) -> Body:
    """Build a mandate for a typed IBAN. Billwerk+ sends no IP address and no browser."""
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
        "description": truncate(call.text, _MAX_TEXT_LENGTH),
    }


def capture_body(call: Capture) -> Body:
    """Build a capture of part or all of a reservation; the rest is released."""
    amount = to_minor(call.amount, call.currency)
    return {"amount_to_capture": amount, "metadata": {CAPTURE: call.reference}}


def refund_body(call: Refund) -> Body:
    """Build a refund of part or all of a payment."""
    id = call.payment_psp_id
    return {
        "payment_intent" if id.startswith("pi_") else "charge": id,
        "amount": to_minor(call.amount, call.currency),
        "metadata": {REFERENCE: call.reference},
    }
