"""Builders of port calls and sandbox PSP objects, with matching defaults."""

import hashlib
import hmac
import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import uuid4

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.sandbox.settings import SandboxSettings
from integrator.psp.types import Authorize, Capture, Charge, Instrument, Lookup, Payer, Refund, Void

REFERENCE = "20260115-65a7f1c2c2d3e4f506172a02"
EXPIRES = "2026-01-22T09:00:00Z"
NOW = datetime(2026, 1, 15, 9, 0, 0, tzinfo=UTC)
SETTINGS = {"ApiKey": "sk_sandbox_unit", "WebhookSecret": "whsec_unit"}
GOOD_IBAN = "DE89370400440532013000"
CARD = Instrument(token={"payment_method": "pm_1", "customer": "cus_1"}, bearer={})


def settings(**values: str) -> SandboxSettings:
    return SandboxSettings.model_validate({**SETTINGS, **values})


def reference() -> str:
    return f"20260115-{uuid4().hex[:24]}"


def _call_fields(ref: str | None, amount: str, currency: str, role: Role, key: str | None) -> Any:
    ref = ref or reference()
    return {
        "reference": ref,
        "idempotency_key": key or f"{ref}/{uuid4().hex[:8]}",
        "amount": Decimal(amount),
        "currency": currency,
        "role": role,
    }


def authorize(
    amount: str = "119.00",
    *,
    ref: str | None = None,
    currency: str = "EUR",
    role: Role = Role.CreditCard,
    key: str | None = None,
    initial: bool = True,
    **values: Any,
) -> Authorize:
    urls = {
        "success_url": "https://shop.example/ok",
        "error_url": "https://shop.example/error",
        "abort_url": "https://shop.example/abort",
        "payer": Payer(name="Mia Kern", email="mia.kern@example.org", language="DE"),
    }
    common = _call_fields(ref, amount, currency, role, key)
    return Authorize(**common, initial=initial, **{**urls, **values})


def debit(amount: str = "49.90", *, iban: str = GOOD_IBAN, **values: Any) -> Authorize:
    bearer = {"Holder": "Mia Kern", "IBAN": iban}
    return authorize(amount, role=Role.Debit, initial_bearer=bearer, **values)


def charge(
    amount: str = "119.00",
    *,
    ref: str | None = None,
    currency: str = "EUR",
    role: Role = Role.CreditCard,
    key: str | None = None,
    instrument: Instrument = CARD,
    **values: Any,
) -> Charge:
    return Charge(**_call_fields(ref, amount, currency, role, key), instrument=instrument, **values)


def capture(
    amount: str = "119.00",
    *,
    authorization_id: str = "auth_1",
    ref: str | None = None,
    key: str | None = None,
) -> Capture:
    return Capture(
        **_call_fields(ref, amount, "EUR", Role.CreditCard, key), authorization_id=authorization_id
    )


def void(
    authorization_id: str = "auth_1", *, ref: str | None = None, key: str | None = None
) -> Void:
    return Void(
        **_call_fields(ref, "119.00", "EUR", Role.CreditCard, key),
        authorization_id=authorization_id,
    )


def refund(
    amount: str = "19.00",
    *,
    payment_id: str = "ch_1",
    ref: str | None = None,
    currency: str = "EUR",
    key: str | None = None,
    text: str | None = None,
) -> Refund:
    common = _call_fields(ref, amount, currency, Role.CreditCard, key)
    return Refund(**common, payment_psp_id=payment_id, text=text)


def lookup(
    ref: str = REFERENCE,
    psp_id: str | None = None,
    *,
    currency: str = "EUR",
    role: Role = Role.CreditCard,
    parent: str | None = None,
) -> Lookup:
    return Lookup(reference=ref, psp_id=psp_id, currency=currency, role=role, parent_psp_id=parent)


def card_json(**values: Any) -> dict[str, Any]:
    card = {
        "brand": "visa",
        "country": "DE",
        "exp_month": "08",
        "exp_year": "2030",
        "holder": "Mia Kern",
        "last4": "4242",
        "masked": "424242XXXXXX4242",
    }
    return {
        "id": "pm_1",
        "type": "card",
        "currency": None,
        "customer": "cus_1",
        "status": "active",
        "card": card,
        "sepa_debit": None,
        **values,
    }


def authorization_json(status: str = "authorized", **values: Any) -> dict[str, Any]:
    return {
        "id": "auth_1",
        "status": status,
        "reference": REFERENCE,
        "amount": 11900,
        "amount_captured": 0,
        "currency": "EUR",
        "expires_at": EXPIRES,
        "payment_method": card_json(),
        "failure": None,
        **values,
    }


def session_json(status: str = "open", **values: Any) -> dict[str, Any]:
    return {
        "id": "cs_1",
        "status": status,
        "reference": REFERENCE,
        "mode": "authorize",
        "currency": "EUR",
        "url": "https://psp.example/checkout/cs_1",
        "expires_at": EXPIRES,
        "authorization": None,
        "payment_method": None,
        "failure": None,
        **values,
    }


def charge_json(status: str = "succeeded", **values: Any) -> dict[str, Any]:
    return {
        "id": "ch_1",
        "status": status,
        "reference": REFERENCE,
        "amount": 11900,
        "currency": "EUR",
        "booked_on": "2026-01-15",
        "description": "Pro plan",
        "amount_refunded": 0,
        "chargebacks": [],
        "failure": None,
        "created_at": "2026-01-15T09:00:00Z",
        **values,
    }


def refund_json(status: str = "succeeded", **values: Any) -> dict[str, Any]:
    return {
        "id": "re_1",
        "status": status,
        "reference": REFERENCE,
        "charge": "ch_1",
        "amount": 1900,
        "currency": "EUR",
        "booked_on": "2026-01-16",
        "description": None,
        "failure": None,
        **values,
    }


def mandate_json(status: str = "active", **values: Any) -> dict[str, Any]:
    return {
        "id": "mdt_1",
        "status": status,
        "reference": REFERENCE,
        "holder": "Mia Kern",
        "iban": GOOD_IBAN,
        "bic": None,
        "currency": "EUR",
        "customer": "cus_2",
        **values,
    }


def failure_json(code: str, message: str = "No.") -> dict[str, str]:
    return {"code": code, "message": message}


def event_json(kind: str, data: dict[str, Any], **values: Any) -> bytes:
    body = {"id": "evt_1", "type": kind, "created_at": EXPIRES, "sequence": 7, "data": data}
    return json.dumps({**body, **values}).encode()


def build_signature(
    body: bytes, *, at: datetime = NOW, secret: str = SETTINGS["WebhookSecret"]
) -> str:
    seconds = int(at.timestamp())
    message = f"{seconds}.".encode() + body
    digest = hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={digest}"
