"""Request bodies for the PSP, built from the port's calls; pure.

A handle is our transaction id; the text of a settle or refund ends with it.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from integrator.psp.billwerk_pay.error_codes import locale
from integrator.psp.billwerk_pay.money import to_minor
from integrator.psp.toolkit.instruments import CUSTOMER, METHOD, drop_empty
from integrator.psp.toolkit.redaction import append_reference, extract_reference, truncate
from integrator.psp.types import Authorize, Call

_MAX_TEXT_LENGTH = 100


def session_body(call: Authorize, methods: Sequence[str], ttl: timedelta) -> dict[str, Any]:
    """Build the part of a session that both kinds of hosted page have."""
    return {
        "locale": locale(call.payer.language),
        "ttl": f"PT{ttl // timedelta(minutes=1)}M",
        "accept_url": call.success_url,
        "cancel_url": call.abort_url,
        "payment_methods": list(methods),
    }


def order_body(call: Authorize) -> dict[str, Any]:
    """Build the order that a hosted page reserves, without a null text."""
    text = truncate(call.text, _MAX_TEXT_LENGTH)
    return {
        **amount_fields(call),
        "handle": call.reference,
        "key": call.idempotency_key,
        **({"ordertext": text} if text else {}),
        "customer": customer_body(call),
        "metadata": {"reference": call.reference},
    }


def charge_body(call: Call, token: Mapping[str, str], *, settle: bool) -> dict[str, Any]:
    """Build a reservation on a stored card or a charge of it."""
    return {
        **amount_fields(call),
        "handle": call.reference,
        "key": call.idempotency_key,
        "source": token[METHOD],
        "customer_handle": token.get(CUSTOMER) or None,
        "settle": settle,
        "ordertext": truncate(call.text, _MAX_TEXT_LENGTH),
        "metadata": {"reference": call.reference},
    }


def customer_body(call: Authorize) -> dict[str, str]:
    """Build the customer of a sign-up, with our transaction id as handle.

    A company's name is never split into a person's names.
    """
    payer, address = call.payer, call.payer.address
    company = (payer.company_name or "").strip()
    person = "" if company else (payer.name or "").strip()
    first, _, last = person.rpartition(" ")
    parts = {
        "email": payer.email,
        "company": company,
        "first_name": first.strip(),
        "last_name": last,
        "address": address.line1,
        "address2": address.line2,
        "city": address.city,
        "postal_code": address.postal_code,
        "country": payer.country,
    }
    return {"handle": call.reference, **drop_empty(parts)}


def amount_fields(call: Call) -> dict[str, Any]:
    """Build amount and currency. Raises `UnsupportedAmountError`."""
    return {"amount": to_minor(call.amount, call.currency), "currency": call.currency}


def reference_text(call: Call) -> str:
    """Build the text of a settle or a refund, the only field that holds our reference."""
    return append_reference(call.text, call.reference, _MAX_TEXT_LENGTH)


def without_texts(body: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """Return a body without these texts of the merchant or the payer; our reference stays in."""
    return {
        name: _reduce(name, value, names)
        for name, value in body.items()
        if name not in names or (isinstance(value, str) and extract_reference(value))
    }


def _reduce(name: str, value: Any, names: frozenset[str]) -> Any:
    if isinstance(value, Mapping):
        return without_texts(value, names)
    if name in names and isinstance(value, str):
        return append_reference(None, extract_reference(value) or "", _MAX_TEXT_LENGTH)
    return value
