"""Request bodies for Stripe, built from the port's calls; pure."""

from collections.abc import Mapping
from datetime import date

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.stripe.instruments import method_type
from integrator.psp.stripe.money import to_minor
from integrator.psp.stripe.optional_parameters import Body, Optionals
from integrator.psp.stripe.wire import CAPTURE, REFERENCE
from integrator.psp.toolkit.instruments import CUSTOMER, METHOD
from integrator.psp.toolkit.redaction import truncate
from integrator.psp.types import Authorize, Capture, Charge, DateWindow, Payer, Refund

DEBIT_DATES = DateWindow(earliest_days=3, latest_days=14)
"""3 to 15 days ahead (https://docs.stripe.com/changelog/acacia/2025-02-24/target-date).

The last one is left out: it is not documented in which time zone Stripe counts days.
"""

_MAX_TEXT_LENGTH = 1000
_ADDRESS = ("line1", "line2", "postal_code", "city", "state", "country")

INTENT_OPTIONALS: Optionals = {"description": None}
CUSTOMER_OPTIONALS: Optionals = dict.fromkeys(
    ("name", "email", *(f"address[{member}]" for member in _ADDRESS))
)
SETUP_OPTIONALS: Optionals = dict.fromkeys(
    (
        "description",
        *(f"payment_method_data[billing_details][address][{member}]" for member in _ADDRESS),
    )
)
_LOCALES = frozenset(
    {"bg", "cs", "da", "de", "el", "en", "es", "et", "fi", "fil", "fr", "hr", "hu", "id", "it"}
    | {"ja", "ko", "lt", "lv", "ms", "mt", "nb", "nl", "pl", "pt", "ro", "ru", "sk", "sl", "sv"}
    | {"th", "tr", "vi", "zh"}
)


def checkout_body(call: Authorize) -> Body:
    """Build a hosted checkout that reserves the amount, or for 0 only stores the card."""
    amount, currency = to_minor(call.amount, call.currency), call.currency.lower()
    language = (call.payer.language or "").partition("-")[0].lower()
    reference = {REFERENCE: call.reference}
    body = {
        "client_reference_id": call.reference,
        "allowed_payment_method_types": ["card"],
        "customer_creation": "always",
        "customer_email": _text(call.payer.email),
        "locale": language if language in _LOCALES else None,
        "success_url": call.success_url,
        "cancel_url": call.abort_url,
    }
    if amount == 0:
        setup = {"metadata": reference, "description": _text(call.text)}
        return {**body, "mode": "setup", "currency": currency, "setup_intent_data": setup}
    product = {"name": _text(call.text) or call.reference}
    price = {"currency": currency, "unit_amount": amount, "product_data": product}
    intent = {
        "capture_method": "manual",
        "setup_future_usage": "off_session",
        "metadata": reference,
        "description": _text(call.text),
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
        "allowed_payment_method_types": [method_type(token, call.role)],
        "capture_method": "manual" if isinstance(call, Authorize) else "automatic",
        "metadata": {REFERENCE: call.reference},
        "description": _text(call.text),
    }


def confirm_body(call: Authorize | Charge, today: date) -> Body:
    """Build the confirmation without a customer present, with `today` as the day in UTC.

    A debit that is too near, such as one repeated after midnight, is sent without a date. Stripe
    refuses a key with another body only if the first one took effect, and then the payment is read.
    """
    body: Body = {"off_session": True}
    execute_on = call.execute_on if isinstance(call, Charge) else None
    if (
        call.role is Role.Debit
        and execute_on
        and (execute_on - today).days >= DEBIT_DATES.earliest_days
    ):
        body["payment_method_options"] = {"sepa_debit": {"target_date": execute_on.isoformat()}}
    return body


def is_near(call: Authorize | Charge, today: date) -> bool:
    """Return whether a date is the nearest that Stripe takes, which it may see as too near.

    The time zone in which Stripe counts days is not documented.
    """
    execute_on = call.execute_on if isinstance(call, Charge) else None
    return execute_on is not None and (execute_on - today).days <= DEBIT_DATES.earliest_days


def customer_body(payer: Payer, holder: str, reference: str) -> Body:
    """Build a customer, who is the company if there is one."""
    name = _text(payer.company_name) or holder
    metadata = {REFERENCE: reference}
    return {
        "name": name,
        "email": _text(payer.email),
        "address": address_body(payer),
        "metadata": metadata,
    }


def address_body(payer: Payer) -> Body:
    """Build the payer's address; Stripe needs it for accounts outside the EEA.

    https://docs.stripe.com/changelog/endive/2026-09-30/require-sepa-direct-debit-address-fields
    """
    members = {**payer.address.model_dump(), "country": payer.country}
    return {name: _text(value) for name, value in members.items() if _text(value)}


def setup_body(call: Authorize, customer: str, holder: str, iban: str) -> Body:
    """Build a mandate for a typed IBAN. Billwerk+ sends no IP address and no browser."""
    details = {
        "name": holder,
        "email": _text(call.payer.email),
        "address": address_body(call.payer),
    }
    method = {"type": "sepa_debit", "sepa_debit": {"iban": iban}, "billing_details": details}
    return {
        "confirm": True,
        "customer": customer,
        "usage": "off_session",
        "allowed_payment_method_types": ["sepa_debit"],
        "payment_method_data": method,
        "mandate_data": {"customer_acceptance": {"type": "offline"}},
        "metadata": {REFERENCE: call.reference},
        "description": _text(call.text),
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


def checkout_optionals(call: Authorize) -> Optionals:
    """Return the parameters that a checkout can do without; a product needs some name."""
    return {
        "payment_intent_data[description]": None,
        "setup_intent_data[description]": None,
        "line_items[0][price_data][product_data][name]": call.reference,
        "customer_email": None,
        "locale": None,
    }


def _text(text: str | None) -> str | None:
    """Return a text as Stripe takes it: without blanks around it, and not too long."""
    return truncate((text or "").strip(), _MAX_TEXT_LENGTH)
