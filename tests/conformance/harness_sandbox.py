"""The bench of the sandbox PSP's own dialect."""

import hashlib
import hmac
import json
from collections.abc import Sequence
from datetime import datetime

from pydantic import HttpUrl

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.conformance.harness import Delivery, ErrorCase, PspAnswer, Refusal, Signature
from integrator.psp.errors import OutcomeUnknown
from integrator.psp.port import Adapter
from integrator.psp.sandbox import SandboxAdapter
from integrator.psp.sandbox.config import SandboxConfig
from integrator.psp.types import Operation
from tests.conformance.emulator_harness import EmulatorHarness, factory

HEADER = "Sandbox-Signature"


def config_at(url: str) -> SandboxConfig:
    """The sandbox PSP at this address."""
    return SandboxConfig.model_construct(url=HttpUrl(url), port=0)


def refused(status: int, kind: str, code: str, **headers: str) -> PspAnswer:
    """An error as the sandbox PSP words it."""
    body = {"error": {"type": kind, "code": code, "message": "No, says the PSP."}}
    return PspAnswer.json(status, body, **headers)


_CARD_ERRORS = {
    "authentication_failed": Code.Rejected,
    "card_declined": Code.Rejected,
    "card_expired": Code.BearerExpired,
    "card_not_supported": Code.BearerInvalid,
    "insufficient_funds": Code.InsufficientBalance,
    "lost_or_whatever": Code.Rejected,
}
_INVALID = {
    "currency_mismatch": Code.InvalidCurrency,
    "amount_too_large": Code.InvalidAmount,
    "invalid_state": Code.InvalidPreconditions,
    "parameter_invalid": Code.InvalidData,
}


class SandboxHarness(EmulatorHarness):
    """The model of a bench."""

    dialect = "sandbox"
    signature = Signature(setting="WebhookSecret")

    def adapter_at(self, url: str | None) -> Adapter:
        return SandboxAdapter(config_at(url) if url else None)

    def settings_form(self, api_key: str, secret: str) -> dict[str, str]:
        return {"ApiKey": api_key, "WebhookSecret": secret}

    def currencies(self, role: Role) -> Sequence[str]:
        return ("EUR", "JPY", "BHD") if role is Role.CreditCard else ("EUR",)

    async def migration_token(self, role: Role, currency: str) -> str | None:
        if self.stand_in is None or role is not Role.CreditCard:
            return None
        stored = await self.instrument(role, currency)
        return stored.token["payment_method"] if stored else None

    def answer(self, said: ErrorCase) -> PspAnswer | None:
        return {
            ErrorCase.THROTTLED: refused(429, "rate_limit", "too_many_requests"),
            ErrorCase.UNAUTHORIZED: refused(401, "authentication_error", "invalid_api_key"),
            ErrorCase.FAILED: refused(500, "api_error", "internal_error"),
            ErrorCase.UNHEARD_OF: refused(400, "invalid_request", "brand_new_reason"),
        }[said]

    def refusals(self) -> Sequence[Refusal]:
        return [
            *(
                Refusal(code, operation, refused(402, "card_error", code), meaning)
                for code, meaning in _CARD_ERRORS.items()
                for operation in (Operation.CHARGE, Operation.AUTHORIZE)
            ),
            *(
                Refusal(code, operation, refused(400, "invalid_request", code), meaning)
                for code, meaning in _INVALID.items()
                for operation in (Operation.CAPTURE, Operation.REFUND)
            ),
            Refusal(
                "invalid_iban",
                Operation.AUTHORIZE,
                refused(422, "invalid_request", "invalid_iban"),
                Code.InvalidIBAN,
                role=Role.Debit,
            ),
            Refusal(
                "debit_failed",
                Operation.CHARGE,
                refused(402, "card_error", "debit_failed"),
                Code.Rejected,
                role=Role.Debit,
            ),
            Refusal(
                "idempotency_key_in_use",
                Operation.CHARGE,
                refused(409, "conflict", "idempotency_key_in_use", Retry_After="1"),
                error=OutcomeUnknown,
            ),
            Refusal(
                "idempotency_key_reused",
                Operation.REFUND,
                refused(409, "conflict", "idempotency_key_reused"),
                error=OutcomeUnknown,
            ),
        ]

    def signed(self, delivery: Delivery, *, secret: str, at: datetime) -> Delivery:
        seconds = int(at.timestamp())
        message = f"{seconds}.".encode() + delivery.body
        digest = hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
        return Delivery({**delivery.headers, HEADER: f"t={seconds},v1={digest}"}, delivery.body)

    def unknown_event(self) -> Delivery | None:
        event = {"id": "evt_new", "type": "comet.seen", "created_at": "2026-01-22T09:00:00Z"}
        body = json.dumps({**event, "sequence": 1, "data": {"id": "com_1"}}).encode()
        return Delivery({}, body)


harness = factory(SandboxHarness)
