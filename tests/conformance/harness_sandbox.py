"""Harness of the sandbox PSP's own API."""

import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from pydantic import HttpUrl

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.conformance.harness import (
    Delivery,
    Distort,
    Distortion,
    ErrorCase,
    OddEvent,
    Refusal,
    SignatureScheme,
    StubResponse,
)
from integrator.psp.errors import OutcomeUnknown
from integrator.psp.port import Adapter
from integrator.psp.sandbox import SandboxAdapter
from integrator.psp.sandbox.config import SandboxConfig
from integrator.psp.types import Operation, Payer
from tests.conformance.emulator_harness import EmulatorHarness, harness_factory
from tests.conformance.json_changes import (
    JsonObject,
    change_objects,
    null_members,
    set_members,
)

HEADER = "Sandbox-Signature"
_MONEY = ("id", "reference", "status", "amount", "currency", "created_at")


def sandbox_config(url: str) -> SandboxConfig:
    """Return the configuration for a sandbox PSP at this address."""
    return SandboxConfig.model_construct(url=HttpUrl(url), port=0)


def psp_error(status: int, error_type: str, code: str, **headers: str) -> StubResponse:
    """Return an error in the sandbox PSP's format."""
    body = {"error": {"type": error_type, "code": code, "message": "Refused by the PSP."}}
    return StubResponse.json(status, body, **headers)


_CARD_ERROR_CODES = {
    "authentication_failed": Code.Rejected,
    "card_declined": Code.Rejected,
    "card_expired": Code.BearerExpired,
    "card_not_supported": Code.BearerInvalid,
    "insufficient_funds": Code.InsufficientBalance,
    "undocumented_code": Code.Rejected,
}
_INVALID_REQUEST_CODES = {
    "currency_mismatch": Code.InvalidCurrency,
    "amount_too_large": Code.InvalidAmount,
    "invalid_state": Code.InvalidPreconditions,
    "parameter_invalid": Code.InvalidData,
}


class SandboxHarness(EmulatorHarness):
    """The reference implementation of a harness."""

    emulator = "sandbox"
    signature = SignatureScheme(setting="WebhookSecret")

    def create_adapter(self, url: str | None) -> Adapter:
        return SandboxAdapter(sandbox_config(url) if url else None)

    def settings_form(self, api_key: str, secret: str) -> dict[str, str]:
        return {"ApiKey": api_key, "WebhookSecret": secret}

    def currencies(self, role: Role) -> Sequence[str]:
        return ("EUR", "JPY", "BHD") if role is Role.CreditCard else ("EUR",)

    async def migration_token(self, role: Role, currency: str) -> str | None:
        if self.sandbox is None or role is not Role.CreditCard:
            return None
        stored = await self.instrument(role, currency)
        return stored.token["payment_method"] if stored else None

    def error_response(self, case: ErrorCase) -> StubResponse | None:
        return {
            ErrorCase.THROTTLED: psp_error(429, "rate_limit", "too_many_requests"),
            ErrorCase.UNAUTHORIZED: psp_error(401, "authentication_error", "invalid_api_key"),
            ErrorCase.FAILED: psp_error(500, "api_error", "internal_error"),
            ErrorCase.UNDOCUMENTED: psp_error(400, "invalid_request", "brand_new_reason"),
        }[case]

    def refusals(self) -> Sequence[Refusal]:
        return [
            *(
                Refusal(code, operation, psp_error(402, "card_error", code), contract_code)
                for code, contract_code in _CARD_ERROR_CODES.items()
                for operation in (Operation.CHARGE, Operation.AUTHORIZE)
            ),
            *(
                Refusal(code, operation, psp_error(400, "invalid_request", code), contract_code)
                for code, contract_code in _INVALID_REQUEST_CODES.items()
                for operation in (Operation.CAPTURE, Operation.REFUND)
            ),
            Refusal(
                "invalid_iban",
                Operation.AUTHORIZE,
                psp_error(422, "invalid_request", "invalid_iban"),
                Code.InvalidIBAN,
                role=Role.Debit,
            ),
            Refusal(
                "debit_failed",
                Operation.CHARGE,
                psp_error(402, "card_error", "debit_failed"),
                Code.Rejected,
                role=Role.Debit,
            ),
            Refusal(
                "idempotency_key_in_use",
                Operation.CHARGE,
                psp_error(409, "conflict", "idempotency_key_in_use", Retry_After="1"),
                error=OutcomeUnknown,
            ),
            Refusal(
                "idempotency_key_reused",
                Operation.REFUND,
                psp_error(409, "conflict", "idempotency_key_reused"),
                error=OutcomeUnknown,
            ),
        ]

    def sign_delivery(self, delivery: Delivery, *, secret: str, at: datetime) -> Delivery:
        seconds = int(at.timestamp())
        message = f"{seconds}.".encode() + delivery.body
        digest = hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
        return Delivery({**delivery.headers, HEADER: f"t={seconds},v1={digest}"}, delivery.body)

    def distortions(self) -> Mapping[Distortion, Distort]:
        odd = {"booked_on": "later", "description": 7, "failure": None}
        odd_fee = {"fee_amount": -2000, "reason_code": 4, "reason_message": ["x"]}
        return {
            Distortion.REFUND_CURRENCY: set_members(is_kind("re_"), currency="USD"),
            Distortion.REFUND_PARENT: set_members(is_kind("re_"), charge="ch_another"),
            Distortion.REFUND_REFERENCE: set_members(is_kind("re_"), reference="another"),
            Distortion.REFUND_SIGN: change_objects(_negate_refund),
            Distortion.CHARGEBACK_BOOKKEEPING: set_members(is_kind("cb_"), **odd, **odd_fee),
            Distortion.CHARGEBACK_NULLS: null_members(is_kind("cb_"), _MONEY),
            Distortion.CHARGEBACK_RETURNED: change_objects(lambda item: _reverse(item, None)),
            Distortion.CHARGEBACK_PART_RETURNED: change_objects(lambda item: _reverse(item, 100)),
            Distortion.PAYMENT_BOOKKEEPING: set_members(is_kind("ch_"), **odd),
            Distortion.PAYMENT_NULLS: null_members(is_kind("ch_"), _MONEY),
            Distortion.REFUND_BOOKKEEPING: set_members(is_kind("re_"), **odd),
            Distortion.REFUND_NULLS: null_members(is_kind("re_"), _MONEY),
        }

    def payer_texts(self, role: Role, payer: Payer) -> frozenset[str]:
        texts = (payer.company_name, payer.email) if role is Role.CreditCard else ()
        return frozenset(text for text in texts if text)

    def odd_events(self) -> Mapping[str, OddEvent]:
        return {"half-a-surrogate-pair": OddEvent(_add_odd_text, relevant=True)}

    def unknown_event(self) -> Delivery | None:
        event = {"id": "evt_new", "type": "comet.seen", "created_at": "2026-01-22T09:00:00Z"}
        body = json.dumps({**event, "sequence": 1, "data": {"id": "com_1"}}).encode()
        return Delivery({}, body)


def is_kind(prefix: str) -> Callable[[JsonObject], bool]:
    """Return a function that recognises objects by the prefix of their ids."""
    return lambda item: str(item.get("id")).startswith(prefix)


def _negate_refund(item: JsonObject) -> None:
    if is_kind("re_")(item):
        item["amount"] = -item["amount"]


def _reverse(item: JsonObject, amount: int | None) -> None:
    """Return an amount of a chargeback; None: all of it."""
    if is_kind("cb_")(item):
        returned = item["amount"] if amount is None else amount
        item["reversals"] = [{"id": f"{item['id']}_back", "amount": returned}]


def _add_odd_text(delivery: Delivery) -> Delivery:
    body = json.loads(delivery.body)
    body["data"] |= {"description": "\ud83d"}
    return Delivery(delivery.headers, json.dumps(body).encode())


harness = harness_factory(SandboxHarness)
