"""Harness of the Stripe adapter, with the sandbox PSP's emulator of Stripe."""

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import uuid4

from pydantic import HttpUrl

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.conformance.harness import (
    Delivery,
    ErrorCase,
    Refusal,
    SignatureScheme,
    StubResponse,
)
from integrator.psp.errors import OutcomeUnknown, RateLimited
from integrator.psp.port import Adapter
from integrator.psp.stripe import StripeAdapter
from integrator.psp.stripe.config import StripeConfig
from integrator.psp.types import Operation
from tests.conformance.emulator_harness import harness_factory
from tests.conformance.oddities_stripe import StripeOddities

HEADER = "Stripe-Signature"
CARD = "card_error"
INVALID = "invalid_request_error"


def psp_error(
    status: int, error_type: str, code: str | None = None, **members: Any
) -> StubResponse:
    """Return an error in Stripe's format."""
    fields = {"type": error_type, "code": code, "message": "Refused by Stripe.", **members}
    return StubResponse.json(status, {"error": {k: v for k, v in fields.items() if v is not None}})


# https://docs.stripe.com/declines/codes
_DECLINE_CODES = {
    "authentication_required": Code.Rejected,
    "card_not_supported": Code.BearerInvalid,
    "card_velocity_exceeded": Code.LimitExceeded,
    "currency_not_supported": Code.InvalidCurrency,
    "do_not_honor": Code.Rejected,
    "expired_card": Code.BearerExpired,
    "fraudulent": Code.Rejected,
    "generic_decline": Code.Rejected,
    "insufficient_funds": Code.InsufficientBalance,
    "lost_card": Code.BearerInvalid,
    "stolen_card": Code.BearerInvalid,
    "withdrawal_count_limit_exceeded": Code.LimitExceeded,
    "undocumented_code": Code.Rejected,
}
# https://docs.stripe.com/error-codes
_ERROR_CODES: dict[Operation, dict[tuple[str | None, str | None], Code]] = {
    Operation.CAPTURE: {
        ("charge_expired_for_capture", None): Code.InvalidPreconditions,
        ("payment_intent_unexpected_state", None): Code.InvalidPreconditions,
        ("amount_too_large", "amount_to_capture"): Code.InvalidAmount,
        ("parameter_unknown", "amount"): Code.InvalidAmount,
    },
    Operation.REFUND: {
        ("charge_already_refunded", None): Code.InvalidAmount,
        ("charge_disputed", None): Code.InvalidPreconditions,
        (None, "amount"): Code.InvalidAmount,
        ("resource_missing", "charge"): Code.InvalidData,
        ("parameter_missing", "charge"): Code.InvalidData,
    },
    Operation.CHARGE: {
        ("resource_missing", "payment_method"): Code.BearerInvalid,
        ("amount_too_small", "amount"): Code.InvalidAmount,
        ("payment_method_types_no_longer_supported", None): Code.InvalidData,
    },
}


class StripeHarness(StripeOddities):
    """Stripe as emulated by the sandbox PSP."""

    emulator = "stripe"
    signature = SignatureScheme(setting="WebhookSecret")

    def create_adapter(self, url: str | None) -> Adapter:
        return StripeAdapter(
            StripeConfig.model_construct(url=HttpUrl(f"{url}/stripe")) if url else None
        )

    def settings_form(self, api_key: str, secret: str) -> dict[str, str]:
        return {"ApiKey": api_key, "WebhookSecret": secret}

    def new_api_key(self) -> str:
        return f"rk_test_{uuid4().hex}"

    def currencies(self, role: Role) -> Sequence[str]:
        # None with three decimals: Stripe accepts no amount that uses all of them.
        return ("EUR", "JPY", "ISK") if role is Role.CreditCard else ("EUR",)

    async def migration_token(self, role: Role, currency: str) -> str | None:
        if self.sandbox is None or role is not Role.CreditCard:
            return None
        stored = await self.instrument(role, currency)
        return f"{stored.token['customer']}:{stored.token['payment_method']}" if stored else None

    def error_response(self, case: ErrorCase) -> StubResponse | None:
        return {
            ErrorCase.THROTTLED: psp_error(429, INVALID, "rate_limit"),
            ErrorCase.UNAUTHORIZED: psp_error(401, INVALID),
            ErrorCase.FAILED: psp_error(500, "api_error"),
            ErrorCase.UNDOCUMENTED: psp_error(400, INVALID, "brand_new_reason"),
        }[case]

    def stored_failure(self) -> StubResponse | None:
        failure = psp_error(500, "api_error")
        return replace(failure, headers={**failure.headers, "Idempotent-Replayed": "true"})

    def refusals(self) -> Sequence[Refusal]:
        return [
            *(
                Refusal(
                    decline_code,
                    operation,
                    psp_error(402, CARD, "card_declined", decline_code=decline_code),
                    contract_code,
                    path_part=path_part,
                )
                for decline_code, contract_code in _DECLINE_CODES.items()
                for operation, path_part in (
                    (Operation.CHARGE, "/confirm"),
                    (Operation.CAPTURE, "/capture"),
                )
            ),
            *(
                Refusal(
                    f"{code}-{param}",
                    operation,
                    psp_error(
                        404 if code == "resource_missing" else 400, INVALID, code, param=param
                    ),
                    contract_code,
                )
                for operation, table in _ERROR_CODES.items()
                for (code, param), contract_code in table.items()
            ),
            Refusal(
                "invalid_bank_account_iban",
                Operation.AUTHORIZE,
                psp_error(400, INVALID, "invalid_bank_account_iban"),
                Code.InvalidIBAN,
                role=Role.Debit,
                path_part="/setup_intents",
            ),
            Refusal(
                "more_permissions_required",
                Operation.CHARGE,
                psp_error(403, INVALID, "more_permissions_required"),
                Code.InvalidConfiguration,
            ),
            Refusal(
                "idempotency_key_in_use",
                Operation.CHARGE,
                psp_error(409, INVALID, "idempotency_key_in_use"),
                error=OutcomeUnknown,
            ),
            Refusal(
                "idempotency_error",
                Operation.REFUND,
                psp_error(400, "idempotency_error"),
                error=OutcomeUnknown,
            ),
            Refusal(
                "lock_timeout",
                Operation.CAPTURE,
                psp_error(429, INVALID, "lock_timeout"),
                error=RateLimited,
            ),
            Refusal(
                "stripe_should_retry",
                Operation.CHARGE,
                StubResponse(
                    400,
                    psp_error(400, INVALID, "anything").body,
                    {"Stripe-Should-Retry": "true"},
                ),
                error=OutcomeUnknown,
            ),
        ]

    def sign_delivery(self, delivery: Delivery, *, secret: str, at: datetime) -> Delivery:
        seconds = int(at.timestamp())
        message = f"{seconds}.".encode() + delivery.body
        digest = hmac.new(secret.encode(), message, hashlib.sha256).hexdigest()
        return Delivery({**delivery.headers, HEADER: f"t={seconds},v1={digest}"}, delivery.body)

    def unknown_event(self) -> Delivery | None:
        event = {"id": "evt_new", "object": "event", "type": "comet.seen", "created": 1769072400}
        body = json.dumps({**event, "data": {"object": {"id": "com_1", "object": "comet"}}})
        return Delivery({}, body.encode())


harness = harness_factory(StripeHarness)
