"""Harness of GoCardless, with the sandbox PSP's emulator of it."""

import hashlib
import hmac
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from pydantic import HttpUrl

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.conformance.harness import (
    C,
    CustomerBehavior,
    Delivery,
    ErrorCase,
    Refusal,
    Script,
    SignatureScheme,
    StubResponse,
)
from integrator.psp.errors import OutcomeUnknown, PspUnavailable
from integrator.psp.gocardless import GoCardlessAdapter
from integrator.psp.gocardless.config import GoCardlessConfig
from integrator.psp.port import Adapter
from integrator.psp.types import Authorize, Operation, RedirectRequired
from tests.conformance.emulator_harness import GOOD_IBAN, harness_factory
from tests.conformance.oddities_gocardless import GoCardlessOddities, psp_error

HEADER = "Webhook-Signature"
_CURRENCIES = {Role.Debit: "EUR", Role.Autogiro: "SEK", Role.Betalingsservice: "DKK"}
_IDENTITIES = {
    Role.Autogiro: {"swedish_identity_number": "198112289874"},
    Role.Betalingsservice: {"danish_identity_number": "220550-6218"},
}


_INACTIVE = psp_error(422, "invalid_state", reason="mandate_is_inactive")
_CHARGE_ERRORS = {
    "mandate_is_inactive": (_INACTIVE, Code.BearerInvalid),
    "forbidden": (
        psp_error(403, "invalid_api_usage", reason="forbidden"),
        Code.InvalidConfiguration,
    ),
    "insufficient_permissions": (
        psp_error(403, "invalid_api_usage", reason="insufficient_permissions"),
        Code.InvalidConfiguration,
    ),
    "no_such_mandate": (
        psp_error(404, "invalid_api_usage", reason="resource_not_found"),
        Code.BearerInvalid,
    ),
    "amount": (psp_error(422, "validation_failed", field="amount"), Code.InvalidAmount),
    "currency": (psp_error(422, "validation_failed", field="currency"), Code.InvalidCurrency),
    "charge_date": (psp_error(422, "validation_failed", field="charge_date"), Code.InvalidData),
    "bad_form": (
        psp_error(400, "invalid_api_usage", reason="invalid_document_structure"),
        Code.InternalError,
    ),
}
_REFUND_CODES = {
    "available_refund_amount_insufficient": Code.InsufficientBalance,
    "number_of_refunds_exceeded": Code.InvalidPreconditions,
    "refund_payment_invalid_state": Code.InvalidPreconditions,
}
_SIGN_UP_FIELDS = {
    "iban": Code.InvalidIBAN,
    "account_holder_name": Code.BearerInvalid,
    "country_code": Code.InvalidCountry,
    "given_name": Code.InvalidData,
}


class GoCardlessHarness(GoCardlessOddities):
    """Mandates by IBAN and by the hosted page."""

    emulator = "gocardless"
    # The event list is read only up to five seconds ago.
    timeout = 9.0
    signature = SignatureScheme(setting="WebhookSecret", timestamped=False)

    def create_adapter(self, url: str | None) -> Adapter:
        config = GoCardlessConfig.model_construct(url=HttpUrl(f"{url}/gocardless"))
        return GoCardlessAdapter(config if url else None)

    def settings_form(self, api_key: str, secret: str) -> dict[str, str]:
        return {"AccessToken": api_key, "WebhookSecret": secret, "Environment": "sandbox"}

    def new_api_key(self) -> str:
        return f"sandbox_{uuid4().hex}"

    def new_secret(self) -> str:
        return uuid4().hex

    def currencies(self, role: Role) -> Sequence[str]:
        return (_CURRENCIES[role],)

    async def visit_page(
        self, call: Authorize, redirect: RedirectRequired, customer: CustomerBehavior
    ) -> bool:
        """Confirm the mandate; leaving keeps the page open, and mandates are not declined."""
        if self.sandbox is None or customer is not CustomerBehavior.PAYS:
            return False
        payer = {"holder": "Mia Kern", "iban": GOOD_IBAN, "email": "mia.kern@example.org"}
        form = {"action": "confirm", **payer, **_IDENTITIES.get(call.role, {})}
        response = await self.sandbox.http.post(redirect.url or "", data=form)
        assert response.is_redirect, f"the mandate page answered {response.status_code}"
        return True

    async def script_call(self, call: C, script: Script) -> C | None:
        """Script by the amount's ending; there are no reservations to script."""
        return None if isinstance(call, Authorize) else await super().script_call(call, script)

    async def migration_token(self, role: Role, currency: str) -> str | None:
        """Return a mandate made in the dashboard."""
        if self.sandbox is None:
            return None
        customer = await self._create("customers", {"email": "mia.kern@example.org"})
        account = await self._create(
            "customer_bank_accounts",
            {
                "account_holder_name": "Mia Kern",
                "iban": GOOD_IBAN,
                "links": {"customer": customer},
            },
        )
        scheme = {Role.Debit: "sepa_core"}.get(role, role.name.lower())
        links = {"customer_bank_account": account}
        return await self._create("mandates", {"scheme": scheme, "links": links})

    async def _create(self, kind: str, body: dict[str, Any]) -> str:
        assert self.sandbox is not None
        headers = {
            "Authorization": f"Bearer {self.api_key}",
            "GoCardless-Version": "2015-07-06",
            "Idempotency-Key": uuid4().hex,
        }
        url = f"{self.sandbox.url}/gocardless/{kind}"
        response = await self.sandbox.http.post(url, json={kind: body}, headers=headers)
        return str(response.raise_for_status().json()[kind]["id"])

    def error_response(self, case: ErrorCase) -> StubResponse | None:
        return {
            ErrorCase.THROTTLED: psp_error(429, "invalid_api_usage", reason="rate_limit_exceeded"),
            ErrorCase.UNAUTHORIZED: psp_error(
                401, "invalid_api_usage", reason="access_token_not_found"
            ),
            ErrorCase.FAILED: psp_error(500, "gocardless", reason="internal_error"),
            ErrorCase.UNDOCUMENTED: psp_error(422, "invalid_state", reason="brand_new_reason"),
        }[case]

    def refusals(self) -> Sequence[Refusal]:
        conflict = psp_error(409, "invalid_state", reason="idempotent_creation_conflict", links={})
        confirmation_race = psp_error(
            422, "invalid_state", reason="total_amount_confirmation_invalid"
        )
        fields = {
            field: psp_error(422, "validation_failed", field=field)
            for field in (*_SIGN_UP_FIELDS, "swedish_identity_number")
        }
        return [
            *(
                Refusal(label, Operation.CHARGE, response, code, role=role)
                for label, (response, code) in _CHARGE_ERRORS.items()
                for role in _CURRENCIES
            ),
            *(
                Refusal(
                    reason,
                    Operation.REFUND,
                    psp_error(422, "invalid_state", reason=reason),
                    code,
                    role=Role.Debit,
                )
                for reason, code in _REFUND_CODES.items()
            ),
            *(
                Refusal(field, Operation.AUTHORIZE, fields[field], code, role=Role.Debit)
                for field, code in _SIGN_UP_FIELDS.items()
            ),
            Refusal(
                "identity_number",
                Operation.AUTHORIZE,
                fields["swedish_identity_number"],
                Code.InvalidNationalIdNumber,
                role=Role.Autogiro,
            ),
            Refusal(
                "race", Operation.REFUND, confirmation_race, error=PspUnavailable, role=Role.Debit
            ),
            Refusal("at_work", Operation.CHARGE, conflict, error=OutcomeUnknown, role=Role.Debit),
        ]

    def sign_delivery(self, delivery: Delivery, *, secret: str, at: datetime) -> Delivery:
        digest = hmac.new(secret.encode(), delivery.body, hashlib.sha256).hexdigest()
        return Delivery({**delivery.headers, HEADER: digest}, delivery.body)

    def batch_deliveries(self, deliveries: Sequence[Delivery]) -> Delivery | None:
        events = [event for delivery in deliveries for event in json.loads(delivery.body)["events"]]
        return Delivery({}, json.dumps({"events": events}).encode())

    def unknown_event(self) -> Delivery | None:
        event = {
            "id": "EV000NEW",
            "created_at": "2026-01-22T09:00:00.000Z",
            "resource_type": "comets",
            "action": "seen",
            "links": {"comet": "CM000"},
            "details": {"origin": "gocardless", "cause": "comet_seen"},
            "metadata": {},
        }
        return Delivery({}, json.dumps({"events": [event]}).encode())


harness = harness_factory(GoCardlessHarness)
