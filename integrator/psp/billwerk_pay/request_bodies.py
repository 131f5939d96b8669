"""What the PSP is asked for; pure. A handle is our transaction id, a text ends with it."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from integrator.psp.billwerk_pay.error_codes import locale
from integrator.psp.billwerk_pay.money import to_minor
from integrator.psp.toolkit.instruments import CUSTOMER, METHOD, filled
from integrator.psp.toolkit.redaction import cut, marked
from integrator.psp.types import Authorize, Call

_LONGEST_TEXT = 100


def session_body(call: Authorize, methods: Sequence[str], ttl: timedelta) -> dict[str, Any]:
    """What both kinds of hosted page are told."""
    return {
        "locale": locale(call.payer.language),
        "ttl": f"PT{ttl // timedelta(minutes=1)}M",
        "accept_url": call.success_url,
        "cancel_url": call.abort_url,
        "payment_methods": list(methods),
    }


def order(call: Authorize) -> dict[str, Any]:
    """What a hosted page is to reserve."""
    return {
        **money(call),
        "handle": call.reference,
        "key": call.idempotency_key,
        "ordertext": cut(call.text, _LONGEST_TEXT),
        "customer": customer(call),
        "metadata": {"reference": call.reference},
    }


def charge_body(call: Call, token: Mapping[str, str], *, settle: bool) -> dict[str, Any]:
    """A reservation on a stored card, or a payment with it."""
    return {
        **money(call),
        "handle": call.reference,
        "key": call.idempotency_key,
        "source": token[METHOD],
        "customer_handle": token.get(CUSTOMER),
        "settle": settle,
        "ordertext": cut(call.text, _LONGEST_TEXT),
        "metadata": {"reference": call.reference},
    }


def customer(call: Authorize) -> dict[str, str]:
    """The customer of a sign-up, found again by our transaction id."""
    first, _, last = (call.payer.name or "").rpartition(" ")
    parts = {"email": call.payer.email, "first_name": first, "last_name": last}
    return {"handle": call.reference, **filled(parts)}


def money(call: Call) -> dict[str, Any]:
    """Raises `UnpayableError`."""
    return {"amount": to_minor(call.amount, call.currency), "currency": call.currency}


def text(call: Call) -> str:
    """What names a settle or a refund: the only trace of its origin."""
    return marked(call.text, call.reference, _LONGEST_TEXT)
