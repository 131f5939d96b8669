"""Request bodies for the sandbox PSP, built from the port's calls; pure."""

from collections.abc import Mapping
from typing import Any

from integrator.psp.toolkit.instruments import METHOD, drop_empty
from integrator.psp.toolkit.money import to_minor
from integrator.psp.toolkit.redaction import truncate
from integrator.psp.types import Authorize, Capture, Charge, Refund

Body = Mapping[str, Any]

_MAX_TEXT_LENGTH = 500


def checkout_body(call: Authorize) -> Body:
    """Build a hosted checkout that reserves the amount, or for 0 only stores the card."""
    amount = to_minor(call.amount, call.currency)
    payer = drop_empty({"name": call.payer.name, "email": call.payer.email})
    language = (call.payer.language or "").strip().lower()
    return {
        "reference": call.reference,
        "mode": "authorize" if amount else "setup",
        "amount": amount,
        "currency": call.currency,
        "success_url": call.success_url,
        "error_url": call.error_url,
        "cancel_url": call.abort_url,
        "description": truncate(call.text, _MAX_TEXT_LENGTH),
        "language": language or None,
        "customer": payer or None,
    }


def authorization_body(call: Authorize, token: Mapping[str, str]) -> Body:
    """Build a reservation on a stored card."""
    return {
        "reference": call.reference,
        "amount": to_minor(call.amount, call.currency),
        "currency": call.currency,
        "payment_method": token[METHOD],
    }


def capture_body(call: Capture) -> Body:
    """Build a capture of part or all of a reservation."""
    return {"reference": call.reference, "amount": to_minor(call.amount, call.currency)}


def charge_body(call: Charge, token: Mapping[str, str]) -> Body:
    """Build a charge of a stored card or a mandate."""
    return {
        "reference": call.reference,
        "amount": to_minor(call.amount, call.currency),
        "currency": call.currency,
        "payment_method": token[METHOD],
        "execute_on": call.execute_on.isoformat() if call.execute_on else None,
        "description": truncate(call.text, _MAX_TEXT_LENGTH),
    }


def refund_body(call: Refund) -> Body:
    """Build a refund of part or all of a payment."""
    return {
        "reference": call.reference,
        "charge": call.payment_psp_id,
        "amount": to_minor(call.amount, call.currency),
        "description": truncate(call.text, _MAX_TEXT_LENGTH),
    }
