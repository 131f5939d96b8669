"""Harness of Billwerk+ Pay, with the sandbox PSP's emulator of it."""

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import HttpUrl

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.billwerk_pay import BillwerkPayAdapter
from integrator.psp.billwerk_pay.config import BillwerkPayConfig
from integrator.psp.conformance.harness import (
    CustomerBehavior,
    Delivery,
    ErrorCase,
    Refusal,
    SignatureScheme,
    StubResponse,
)
from integrator.psp.errors import CredentialsRejected, OutcomeUnknown, RateLimited
from integrator.psp.port import Adapter
from integrator.psp.types import Authorize, Call, Operation, RedirectRequired
from tests.conformance.emulator_harness import harness_factory
from tests.conformance.oddities_billwerk_pay import BillwerkPayOddities, psp_error


def failed_charge(error: str, state: str) -> "Any":
    """Return the response of a declined charge: HTTP 200, and an object in state `failed`."""

    def build_response(call: Call) -> StubResponse:
        body = {
            "handle": call.reference,
            "state": "failed",
            "amount": 4990,
            "currency": call.currency,
            "created": "2026-01-22T09:00:00.000+00:00",
            "transaction": "152f91646daea2f5614729cc2bd07bd5",
            "error": error,
            "error_state": state,
            "source": {"type": "card"},
            "order_lines": [],
        }
        return StubResponse.json(200, body)

    return build_response


_DECLINE_CODES = {
    "insufficient_funds": Code.InsufficientBalance,
    "credit_card_expired": Code.BearerExpired,
    "credit_card_lost_or_stolen": Code.BearerInvalid,
    "credit_card_suspected_fraud": Code.BearerInvalid,
    "fraud_block": Code.BearerInvalid,
    "acquirer_authentication_error": Code.BearerInvalid,
    "declined_by_acquirer": Code.Rejected,
    "acquirer_rejected_error": Code.Rejected,
    "sca_required": Code.Rejected,
    "settle_blocked": Code.Rejected,
    "acquirer_configuration_error": Code.InvalidConfiguration,
    "risk_filter_block": Code.Canceled,
    "authorization_voided": Code.Canceled,
    "authorization_expired": Code.InvalidPreconditions,
    "authorization_amount_exceeded": Code.InvalidAmount,
    "brand_new_reason": Code.UnmappedError,
}
_ERROR_CODES = {
    1: Code.InvalidData,
    7: Code.InvalidConfiguration,
    11: Code.InvalidData,
    20: Code.InvalidConfiguration,
    24: Code.InvalidAmount,
    40: Code.BearerInvalid,
    43: Code.InternalProviderError,
    54: Code.InvalidData,
    65: Code.InvalidAmount,
    77: Code.Rejected,
    102: Code.InvalidAmount,
    109: Code.InvalidPreconditions,
    139: Code.InvalidCurrency,
    146: Code.InvalidAmount,
    147: Code.BearerInvalid,
    151: Code.UnmappedError,
}
_UNKNOWN_OUTCOME_CODES = (2, 74, 78, 80)


class BillwerkPayHarness(BillwerkPayOddities):
    """Cards by hosted checkout."""

    emulator = "billwerk_pay"
    signature = SignatureScheme(setting="WebhookSecret", covers_body=False, timestamped=False)

    def create_adapter(self, url: str | None) -> Adapter:
        if url is None:
            return BillwerkPayAdapter()
        config = BillwerkPayConfig.model_construct(
            url=HttpUrl(f"{url}/billwerk_pay"),
            checkout_url=HttpUrl(f"{url}/billwerk_pay"),
        )
        return BillwerkPayAdapter(config)

    def settings_form(self, api_key: str, secret: str) -> dict[str, str]:
        return {"PrivateKey": api_key, "WebhookSecret": secret}

    def instrument_token(self, method: Mapping[str, Any]) -> dict[str, str]:
        id = str(method["id"]).replace("pm_", "ca_", 1)
        return {"payment_method": id, "customer": method["customer"]}

    def currencies(self, role: Role) -> Sequence[str]:
        return ("EUR", "DKK")

    def refused_currencies(self, role: Role) -> Sequence[str]:
        return ("ISK", "JPY", "BHD", "VND")

    async def visit_page(
        self, call: Authorize, redirect: RedirectRequired, customer: CustomerBehavior
    ) -> bool:
        if customer is CustomerBehavior.CANCELS:
            # The PSP sends the customer back without a notification: the page stays open.
            return False
        return await super().visit_page(call, redirect, customer)

    async def migration_token(self, role: Role, currency: str) -> str | None:
        stored = await self.instrument(role, currency)
        return stored.token["payment_method"] if stored else None

    def error_response(self, case: ErrorCase) -> StubResponse | None:
        return {
            ErrorCase.THROTTLED: psp_error(429, 122),
            ErrorCase.UNAUTHORIZED: psp_error(401, 3),
            ErrorCase.FAILED: psp_error(500, 2),
            ErrorCase.UNDOCUMENTED: psp_error(400, 999),
        }[case]

    def refusals(self) -> Sequence[Refusal]:
        charge_operations = (Operation.CHARGE, Operation.AUTHORIZE)
        return [
            *(
                Refusal(error, Operation.CHARGE, failed_charge(error, "hard_declined"), code)
                for error, code in _DECLINE_CODES.items()
            ),
            *(
                Refusal(str(number), operation, psp_error(400, number), code)
                for number, code in _ERROR_CODES.items()
                for operation in (
                    *charge_operations,
                    Operation.CAPTURE,
                    Operation.REFUND,
                    Operation.VOID,
                )
            ),
            *(
                Refusal(str(number), operation, psp_error(400, number), error=OutcomeUnknown)
                for number in _UNKNOWN_OUTCOME_CODES
                for operation in (*charge_operations, Operation.CAPTURE, Operation.REFUND)
            ),
            *(
                Refusal(str(number), Operation.CHARGE, psp_error(401, number), error=error)
                for number, error in ((4, CredentialsRejected), (6, CredentialsRejected))
            ),
            Refusal("123", Operation.REFUND, psp_error(429, 123), error=RateLimited),
            Refusal(
                "77-insufficient_funds",
                Operation.CHARGE,
                psp_error(400, 77, transaction_error="insufficient_funds"),
                Code.InsufficientBalance,
            ),
        ]

    def sign_delivery(self, delivery: Delivery, *, secret: str, at: datetime) -> Delivery:
        body = json.loads(delivery.body)
        time = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        digest = hmac.new(secret.encode(), f"{time}{body['id']}".encode(), hashlib.sha256)
        body |= {"timestamp": time, "signature": digest.hexdigest()}
        return Delivery(delivery.headers, json.dumps(body).encode())

    def unknown_event(self) -> Delivery | None:
        event = {"id": "evt_new", "event_id": "evt_new", "event_type": "comet_seen"}
        return Delivery({}, json.dumps({**event, "invoice": "comet-1"}).encode())


harness = harness_factory(BillwerkPayHarness)
