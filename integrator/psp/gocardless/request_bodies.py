"""Request bodies for GoCardless, built from the port's calls; pure."""

import re
import unicodedata
from collections.abc import Mapping
from datetime import date
from typing import Any

from integrator.psp.gocardless.error_codes import CURRENCIES, LANGUAGES, REFERENCE_SIZES, SCHEMES
from integrator.psp.gocardless.wire import REFERENCE
from integrator.psp.toolkit.instruments import drop_empty
from integrator.psp.toolkit.money import to_minor
from integrator.psp.toolkit.redaction import truncate
from integrator.psp.types import Authorize, Call, Charge, Payer, Refund

Body = Mapping[str, Any]

_MAX_DESCRIPTION_LENGTH = 100
# Everything but the characters that banks print in every scheme; replaced by a space.
_UNPRINTABLE = re.compile(r"[^A-Za-z0-9 +,./:()?'-]+")


def billing_request_body(call: Authorize) -> Body:
    """Build the set-up of a mandate; the mandate gets our reference as well."""
    return {
        "mandate_request": {
            "scheme": SCHEMES[call.role],
            "currency": CURRENCIES[call.role],
            "metadata": {REFERENCE: call.reference},
        },
        "metadata": {REFERENCE: call.reference},
    }


def flow_body(call: Authorize, request: str) -> Body:
    """Build the hosted page. GoCardless has two return URLs: completed and exited."""
    payer = call.payer
    prefilled = drop_empty(
        {
            "country_code": payer.country,
            "email": payer.email,
            **_name_fields(payer, None),
            **_address_fields(payer),
        }
    )
    return {
        "redirect_uri": call.success_url,
        "exit_uri": call.abort_url,
        "language": payer.language if payer.language in LANGUAGES else None,
        "lock_currency": True,
        "prefilled_customer": prefilled or None,
        "links": {"billing_request": request},
    }


def setup_steps(call: Authorize, holder: str, iban: str) -> dict[str, Body]:
    """Build the actions that set a mandate up without the hosted page, in order."""
    payer = call.payer
    customer = {"email": payer.email, **_name_fields(payer, holder)}
    if payer.language in LANGUAGES:
        customer["language"] = payer.language
    country = (payer.country or "").strip() or iban[:2]
    return {
        "collect_customer_details": {
            "customer": drop_empty(customer),
            "customer_billing_detail": {"country_code": country, **_address_fields(payer)},
        },
        "collect_bank_account": {"account_holder_name": holder, "iban": iban},
        "confirm_payer_details": {},
    }


def payment_body(call: Charge, mandate: str, charge_on: date | None) -> Body:
    """Build a payment with a mandate, without automatic retries by GoCardless."""
    return {
        "amount": to_minor(call.amount, call.currency),
        "currency": call.currency,
        "charge_date": charge_on.isoformat() if charge_on else None,
        "description": truncate(call.text, _MAX_DESCRIPTION_LENGTH),
        "reference": statement_text(call),
        "retry_if_possible": False,
        "metadata": {REFERENCE: call.reference},
        "links": {"mandate": mandate},
    }


def refund_body(call: Refund, amount: int, refunded: int) -> Body:
    """Build a refund of part or all of a payment; `refunded` is the total of earlier refunds."""
    return {
        "amount": amount,
        "total_amount_confirmation": refunded + amount,
        "metadata": {REFERENCE: call.reference},
        "links": {"payment": call.payment_psp_id},
    }


def statement_text(call: Call) -> str:
    """Return the text for the bank statement, within the scheme's length.

    If the text does not fit, it ends with the end of our reference to identify the payment.
    """
    size = REFERENCE_SIZES.get(call.role, min(REFERENCE_SIZES.values()))
    plain = unicodedata.normalize("NFKD", call.text or "").encode("ascii", "ignore").decode()
    text = " ".join(_UNPRINTABLE.sub(" ", plain).split())
    return text if 0 < len(text) <= size else f"{text} {call.reference}"[-size:].strip()


def _name_fields(payer: Payer, holder: str | None) -> dict[str, str | None]:
    """Build the name fields: GoCardless requires both names of a person, or a company name.

    A company's name is never split. Nor is the account holder's, which may be a company's.
    """
    company = (payer.company_name or "").strip()
    given_name, _, family = (payer.name or "").strip().rpartition(" ")
    if not company and given_name:
        return {"given_name": given_name.strip(), "family_name": family}
    return {"company_name": company or family or holder}


def _address_fields(payer: Payer) -> dict[str, str]:
    address = payer.address
    return drop_empty(
        {
            "address_line1": address.line1,
            "address_line2": address.line2,
            "city": address.city,
            "postal_code": address.postal_code,
            "region": address.state,
        }
    )
