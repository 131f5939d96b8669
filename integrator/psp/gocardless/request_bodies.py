"""What GoCardless is asked for, made of the port's calls; pure."""

import re
import unicodedata
from collections.abc import Mapping
from datetime import date
from typing import Any

from integrator.psp.gocardless.error_codes import CURRENCIES, LANGUAGES, REFERENCE_SIZES, SCHEMES
from integrator.psp.gocardless.wire import REFERENCE
from integrator.psp.toolkit.money import to_minor
from integrator.psp.toolkit.redaction import cut
from integrator.psp.types import Authorize, Call, Charge, Refund

Body = Mapping[str, Any]

_LONGEST_DESCRIPTION = 100
# What banks print in every scheme; the rest becomes a blank.
_UNPRINTABLE = re.compile(r"[^A-Za-z0-9 +,./:()?'-]+")


def billing_request(call: Authorize) -> Body:
    """A mandate to be set up; the mandate gets our reference, too."""
    return {
        "mandate_request": {
            "scheme": SCHEMES[call.role],
            "currency": CURRENCIES[call.role],
            "metadata": {REFERENCE: call.reference},
        },
        "metadata": {REFERENCE: call.reference},
    }


def flow(call: Authorize, request: str) -> Body:
    """The hosted page for it. GoCardless knows two ways back: done, and given up."""
    language = call.payer.language
    known = {"country_code": call.payer.country, "email": call.payer.email}
    prefilled = {**known, **_names(call.payer.name)}
    return {
        "redirect_uri": call.success_url,
        "exit_uri": call.abort_url,
        "language": language if language in LANGUAGES else None,
        "lock_currency": True,
        "prefilled_customer": {name: value for name, value in prefilled.items() if value} or None,
        "links": {"billing_request": request},
    }


def steps(call: Authorize, holder: str, iban: str) -> dict[str, Body]:
    """The actions that set a mandate up without the hosted page, in their order."""
    customer = {"email": call.payer.email, **_names(call.payer.name or holder)}
    if call.payer.language in LANGUAGES:
        customer["language"] = call.payer.language
    return {
        "collect_customer_details": {
            "customer": {name: value for name, value in customer.items() if value},
            "customer_billing_detail": {"country_code": call.payer.country or iban[:2]},
        },
        "collect_bank_account": {"account_holder_name": holder, "iban": iban},
        "confirm_payer_details": {},
    }


def payment(call: Charge, mandate: str, charge_on: date | None) -> Body:
    """A payment with a mandate. GoCardless must not repeat it on its own."""
    return {
        "amount": to_minor(call.amount, call.currency),
        "currency": call.currency,
        "charge_date": charge_on.isoformat() if charge_on else None,
        "description": cut(call.text, _LONGEST_DESCRIPTION),
        "reference": statement_text(call),
        "retry_if_possible": False,
        "metadata": {REFERENCE: call.reference},
        "links": {"mandate": mandate},
    }


def refund(call: Refund, amount: int, refunded: int) -> Body:
    """Part or all of a payment; `refunded` is what earlier refunds have given back."""
    return {
        "amount": amount,
        "total_amount_confirmation": refunded + amount,
        "metadata": {REFERENCE: call.reference},
        "links": {"payment": call.payment_psp_id},
    }


def statement_text(call: Call) -> str:
    """What the bank statement shows, as long as the scheme allows.

    Where the text does not fit, the end of our reference is what tells payments apart.
    """
    size = REFERENCE_SIZES.get(call.role, min(REFERENCE_SIZES.values()))
    plain = unicodedata.normalize("NFKD", call.text or "").encode("ascii", "ignore").decode()
    text = " ".join(_UNPRINTABLE.sub(" ", plain).split())
    return text if 0 < len(text) <= size else f"{text} {call.reference}"[-size:].strip()


def _names(name: str | None) -> dict[str, str]:
    """GoCardless wants both names of a person, or else a company's."""
    given, _, family = (name or "").strip().rpartition(" ")
    if given:
        return {"given_name": given, "family_name": family}
    return {"company_name": family} if family else {}
