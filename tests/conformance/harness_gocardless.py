"""The bench of GoCardless, whose stand-in is a dialect of the sandbox PSP."""

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
    Customer,
    Delivery,
    ErrorCase,
    PspAnswer,
    Refusal,
    Script,
    Signature,
)
from integrator.psp.errors import OutcomeUnknown, PspUnavailable
from integrator.psp.gocardless import GoCardlessAdapter
from integrator.psp.gocardless.settings import GoCardlessConfig
from integrator.psp.port import Adapter
from integrator.psp.types import Authorize, Operation, RedirectRequired
from tests.conformance.emulator_harness import GOOD_IBAN, EmulatorHarness, factory

HEADER = "Webhook-Signature"
_CURRENCIES = {Role.Debit: "EUR", Role.Autogiro: "SEK", Role.Betalingsservice: "DKK"}
_IDENTITIES = {
    Role.Autogiro: {"swedish_identity_number": "198112289874"},
    Role.Betalingsservice: {"danish_identity_number": "220550-6218"},
}


def refused(status: int, kind: str, **problem: Any) -> PspAnswer:
    """An error as GoCardless words it."""
    error = {
        "message": "No, says the PSP.",
        "documentation_url": "https://developer.gocardless.com/api-reference",
        "type": kind,
        "request_id": "bd271b37-a2f5-47c8-b461-040dfe0e9cb1",
        "code": status,
        "errors": [{"message": "No, says the PSP.", **problem}],
    }
    return PspAnswer.json(status, {"error": error})


_INACTIVE = refused(422, "invalid_state", reason="mandate_is_inactive")
_CHARGE = {
    "mandate_is_inactive": (_INACTIVE, Code.BearerInvalid),
    "forbidden": (refused(403, "invalid_api_usage", reason="forbidden"), Code.InvalidConfiguration),
    "insufficient_permissions": (
        refused(403, "invalid_api_usage", reason="insufficient_permissions"),
        Code.InvalidConfiguration,
    ),
    "no_such_mandate": (
        refused(404, "invalid_api_usage", reason="resource_not_found"),
        Code.BearerInvalid,
    ),
    "amount": (refused(422, "validation_failed", field="amount"), Code.InvalidAmount),
    "currency": (refused(422, "validation_failed", field="currency"), Code.InvalidCurrency),
    "charge_date": (refused(422, "validation_failed", field="charge_date"), Code.InvalidData),
    "bad_form": (
        refused(400, "invalid_api_usage", reason="invalid_document_structure"),
        Code.InternalError,
    ),
}
_REFUND = {
    "available_refund_amount_insufficient": Code.InsufficientBalance,
    "number_of_refunds_exceeded": Code.InvalidPreconditions,
    "refund_payment_invalid_state": Code.InvalidPreconditions,
}
_SIGN_UP = {
    "iban": Code.InvalidIBAN,
    "account_holder_name": Code.BearerInvalid,
    "country_code": Code.InvalidCountry,
    "given_name": Code.InvalidData,
}


class GoCardlessHarness(EmulatorHarness):
    """Mandates by IBAN and by the hosted page."""

    dialect = "gocardless"
    # The event list is read up to five seconds ago.
    patience = 9.0
    signature = Signature(setting="WebhookSecret", window=False)

    def adapter_at(self, url: str | None) -> Adapter:
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

    async def visit(self, call: Authorize, redirect: RedirectRequired, customer: Customer) -> bool:
        """Give the mandate; going back leaves the page open, and mandates are not refused."""
        if self.stand_in is None or customer is not Customer.PAYS:
            return False
        payer = {"holder": "Mia Kern", "iban": GOOD_IBAN, "email": "mia.kern@example.org"}
        form = {"action": "confirm", **payer, **_IDENTITIES.get(call.role, {})}
        response = await self.stand_in.http.post(redirect.url or "", data=form)
        assert response.is_redirect, f"the mandate page answered {response.status_code}"
        return True

    async def scripted(self, call: C, script: Script) -> C | None:
        """By the amount's ending; there are no reservations to script."""
        return None if isinstance(call, Authorize) else await super().scripted(call, script)

    async def migration_token(self, role: Role, currency: str) -> str | None:
        """A mandate that was made in the dashboard."""
        if self.stand_in is None:
            return None
        customer = await self._made("customers", {"email": "mia.kern@example.org"})
        account = await self._made(
            "customer_bank_accounts",
            {
                "account_holder_name": "Mia Kern",
                "iban": GOOD_IBAN,
                "links": {"customer": customer},
            },
        )
        scheme = {Role.Debit: "sepa_core"}.get(role, role.name.lower())
        links = {"customer_bank_account": account}
        return await self._made("mandates", {"scheme": scheme, "links": links})

    async def _made(self, kind: str, body: dict[str, Any]) -> str:
        assert self.stand_in is not None
        headers = {
            "Authorization": f"Bearer {self.api_key}",
            "GoCardless-Version": "2015-07-06",
            "Idempotency-Key": uuid4().hex,
        }
        url = f"{self.stand_in.url}/gocardless/{kind}"
        response = await self.stand_in.http.post(url, json={kind: body}, headers=headers)
        return str(response.raise_for_status().json()[kind]["id"])

    def answer(self, said: ErrorCase) -> PspAnswer | None:
        return {
            ErrorCase.THROTTLED: refused(429, "invalid_api_usage", reason="rate_limit_exceeded"),
            ErrorCase.UNAUTHORIZED: refused(
                401, "invalid_api_usage", reason="access_token_not_found"
            ),
            ErrorCase.FAILED: refused(500, "gocardless", reason="internal_error"),
            ErrorCase.UNHEARD_OF: refused(422, "invalid_state", reason="brand_new_reason"),
        }[said]

    def refusals(self) -> Sequence[Refusal]:
        conflict = refused(409, "invalid_state", reason="idempotent_creation_conflict", links={})
        race = refused(422, "invalid_state", reason="total_amount_confirmation_invalid")
        fields = {
            field: refused(422, "validation_failed", field=field)
            for field in (*_SIGN_UP, "swedish_identity_number")
        }
        return [
            *(
                Refusal(label, Operation.CHARGE, answer, code, role=role)
                for label, (answer, code) in _CHARGE.items()
                for role in _CURRENCIES
            ),
            *(
                Refusal(
                    reason,
                    Operation.REFUND,
                    refused(422, "invalid_state", reason=reason),
                    code,
                    role=Role.Debit,
                )
                for reason, code in _REFUND.items()
            ),
            *(
                Refusal(field, Operation.AUTHORIZE, fields[field], code, role=Role.Debit)
                for field, code in _SIGN_UP.items()
            ),
            Refusal(
                "identity_number",
                Operation.AUTHORIZE,
                fields["swedish_identity_number"],
                Code.InvalidNationalIdNumber,
                role=Role.Autogiro,
            ),
            Refusal("race", Operation.REFUND, race, error=PspUnavailable, role=Role.Debit),
            Refusal("at_work", Operation.CHARGE, conflict, error=OutcomeUnknown, role=Role.Debit),
        ]

    def signed(self, delivery: Delivery, *, secret: str, at: datetime) -> Delivery:
        digest = hmac.new(secret.encode(), delivery.body, hashlib.sha256).hexdigest()
        return Delivery({**delivery.headers, HEADER: digest}, delivery.body)

    def batched(self, deliveries: Sequence[Delivery]) -> Delivery | None:
        events = [event for one in deliveries for event in json.loads(one.body)["events"]]
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


harness = factory(GoCardlessHarness)
