"""TallyPay's API client, and the port's operations for one merchant."""

from typing import TypeVar

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp import types
from integrator.psp.errors import CredentialsRejected, PspError
from integrator.psp.toolkit.bank_account import parse_bank_account
from integrator.psp.toolkit.client import ApiClient, RefusedError
from integrator.psp.toolkit.connection import PspConnection, returns_declines
from integrator.psp.toolkit.http import PspResponse, classify_failure
from integrator.psp.toolkit.instruments import stored_token
from integrator.psp.toolkit.money import to_minor
from integrator.psp.toolkit.outcomes import verify_reference
from integrator.psp.types import Declined, Outcome
from tallypay.wire import Account, Error, Mandate, Payment, Refund, build_decline, build_outcome

M = TypeVar("M", bound=Mandate)
NO_MANDATE = Declined(code=Code.BearerInvalid, message="The mandate does not exist.")


class TallyPayClient(ApiClient):
    """One merchant's access to TallyPay's API."""

    key_header = "Request-Key"

    def classify_error(self, response: PspResponse) -> PspError | RefusedError:
        """Classify a response other than 2xx: a decline, a rejected token or an outage."""
        error = response.try_parse(Error)
        if error is None:
            return classify_failure(response)
        code = error.problem.code
        if response.status == 401 and code == "bad_token":
            return CredentialsRejected("TallyPay does not accept the token", psp_code=code)
        if response.status in (404, 422):
            decline = build_decline(error.problem)
            return RefusedError(decline, status=response.status, missing=code == "unknown")
        return classify_failure(response, code)


class TallyPayConnection(PspConnection):
    """An account at TallyPay, which has no reservations and no lists."""

    def __init__(self, client: TallyPayClient) -> None:
        self._client = client

    @returns_declines
    async def authorize(self, call: types.Authorize) -> Outcome:
        """Sign a mandate, or check whether the existing one is still usable."""
        if call.instrument is not None:
            mandate = await self._client.get(Mandate, "mandates", stored_token(call)["mandate"])
            return build_outcome(mandate) if mandate else NO_MANDATE
        holder, iban = parse_bank_account(call.initial_bearer)
        body = {"reference": call.reference, "holder": holder, "iban": iban}
        created = await self._client.post(Mandate, "mandates", body=body, key=call.idempotency_key)
        return build_outcome(verify_reference(created, call), Holder=holder, IBAN=iban)

    @returns_declines
    async def charge(self, call: types.Charge) -> Outcome:
        """Debit a mandate."""
        mandate = stored_token(call).get("mandate")
        if mandate is None:
            return NO_MANDATE
        return await self._create_movement(Payment, "payments", call, mandate=mandate)

    @returns_declines
    async def refund(self, call: types.Refund) -> Outcome:
        """Refund a payment."""
        return await self._create_movement(Refund, "refunds", call, payment=call.payment_psp_id)

    async def fetch_authorization(self, lookup: types.Lookup) -> Outcome | None:
        """Fetch a mandate."""
        return await self._find(Mandate, "mandates", lookup)

    async def fetch_payment(self, lookup: types.Lookup) -> Outcome | None:
        """Fetch a payment."""
        return await self._find(Payment, "payments", lookup)

    async def fetch_refund(self, lookup: types.Lookup) -> Outcome | None:
        """Fetch a refund."""
        return await self._find(Refund, "refunds", lookup)

    async def verify_settings(self) -> types.SettingsCheck:
        """Verify the token with one read request."""
        account = await self._client.get_required(Account, "account")
        return types.SettingsCheck(roles=frozenset({Role.Debit}), account=account.id)

    async def _create_movement(
        self, model: type[M], path: str, call: types.Call, **links: str
    ) -> Outcome:
        """Send our reference and the call's key unchanged."""
        amount_fields = {"amount": to_minor(call.amount, call.currency), "currency": call.currency}
        body = {"reference": call.reference, **links, **amount_fields}
        created = await self._client.post(model, path, body=body, key=call.idempotency_key)
        return build_outcome(verify_reference(created, call))

    async def _find(self, model: type[M], path: str, lookup: types.Lookup) -> Outcome | None:
        """Look up by TallyPay's id if it is known, otherwise by our reference."""
        name = lookup.psp_id or f"ref:{lookup.reference}"
        item = await self._client.get(model, path, name)
        return build_outcome(verify_reference(item, lookup)) if item else None
