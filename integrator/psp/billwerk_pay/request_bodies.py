"""Request bodies for the PSP, built from the port's calls; pure.

A handle is our transaction id; the text of a settle or refund ends with it.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from integrator.psp.billwerk_pay.error_codes import locale
from integrator.psp.billwerk_pay.money import to_minor
from integrator.psp.toolkit.instruments import CUSTOMER, METHOD, drop_empty
from integrator.psp.toolkit.redaction import append_reference, truncate
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
    """Build the order that a hosted page reserves."""
    return {
        **amount_fields(call),
        "handle": call.reference,
        "key": call.idempotency_key,
        "ordertext": truncate(call.text, _MAX_TEXT_LENGTH),
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
        "customer_handle": token.get(CUSTOMER),
        "settle": settle,
        "ordertext": truncate(call.text, _MAX_TEXT_LENGTH),
        "metadata": {"reference": call.reference},
    }


def customer_body(call: Authorize) -> dict[str, str]:
    """Build the customer of a sign-up, with our transaction id as handle."""
    first, _, last = (call.payer.name or "").rpartition(" ")
    parts = {"email": call.payer.email, "first_name": first, "last_name": last}
    return {"handle": call.reference, **drop_empty(parts)}


def amount_fields(call: Call) -> dict[str, Any]:
    """Build amount and currency. Raises `UnsupportedAmountError`."""
    return {"amount": to_minor(call.amount, call.currency), "currency": call.currency}


def reference_text(call: Call) -> str:
    """Build the text of a settle or a refund, the only field that holds our reference."""
    return append_reference(call.text, call.reference, _MAX_TEXT_LENGTH)
