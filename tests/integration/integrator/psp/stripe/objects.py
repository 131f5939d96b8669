"""Builders of Stripe's JSON objects, with matching defaults."""

from typing import Any

REFERENCE = "20260115-65a7f1c2c2d3e4f506172a02"
CAPTURE = "20260115-65a7f1c2c2d3e4f506172a03"
CREATED = 1_768_467_600  # 2026-01-15 09:00 UTC


def charge(**values: Any) -> dict[str, Any]:
    return {
        "id": "ch_1",
        "object": "charge",
        "status": "succeeded",
        "amount": 11900,
        "amount_captured": 11900,
        "captured": True,
        "currency": "eur",
        "created": CREATED,
        "disputed": False,
        "metadata": {"reference": REFERENCE},
        "payment_intent": "pi_1",
        **values,
    }


def intent(status: str = "succeeded", **values: Any) -> dict[str, Any]:
    return {
        "id": "pi_1",
        "object": "payment_intent",
        "status": status,
        "amount": 11900,
        "amount_received": 11900 if status == "succeeded" else 0,
        "currency": "eur",
        "capture_method": "automatic",
        "created": CREATED,
        "customer": "cus_1",
        "payment_method": "pm_1",
        "latest_charge": "ch_1" if status in ("succeeded", "requires_capture") else None,
        "last_payment_error": None,
        "metadata": {"reference": REFERENCE},
        **values,
    }


def error_detail(code: str = "card_declined", **values: Any) -> dict[str, Any]:
    return {"type": "card_error", "code": code, "message": "No.", **values}


def session(status: str = "open", **values: Any) -> dict[str, Any]:
    return {
        "id": "cs_1",
        "object": "checkout.session",
        "status": status,
        "mode": "payment",
        "url": "https://checkout.stripe.com/c/pay/cs_1" if status == "open" else None,
        "client_reference_id": REFERENCE,
        "currency": "eur",
        "expires_at": CREATED,
        "payment_intent": None,
        "setup_intent": None,
        **values,
    }


def refund(status: str = "succeeded", **values: Any) -> dict[str, Any]:
    return {
        "id": "re_1",
        "object": "refund",
        "status": status,
        "amount": 1900,
        "currency": "eur",
        "created": CREATED,
        "charge": "ch_1",
        "payment_intent": "pi_1",
        "metadata": {"reference": REFERENCE},
        **values,
    }


def balance_transaction(amount: int, **values: Any) -> dict[str, Any]:
    defaults = {"id": f"txn_{amount}", "object": "balance_transaction", "amount": amount}
    return {**defaults, "fee": 0, "currency": "eur", "created": CREATED + 86_400, **values}


def dispute(status: str, *transactions: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {
        "id": "dp_1",
        "object": "dispute",
        "status": status,
        "amount": 11900,
        "currency": "eur",
        "created": CREATED,
        "reason": "fraudulent",
        "charge": "ch_1",
        "payment_intent": "pi_1",
        "balance_transactions": list(transactions),
        **values,
    }


def event(kind: str, psp_object: dict[str, Any], **values: Any) -> dict[str, Any]:
    return {
        "id": "evt_1",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": CREATED,
        "type": kind,
        "data": {"object": psp_object},
        **values,
    }
