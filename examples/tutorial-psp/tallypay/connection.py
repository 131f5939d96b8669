"""TallyPay's calls, and the port's operations for one merchant."""

from typing import TypeVar

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp import types
from integrator.psp.errors import CredentialsRejected, PspError
from integrator.psp.toolkit.bank_account import bank_account
from integrator.psp.toolkit.client import ApiClient, RefusedError
from integrator.psp.toolkit.connection import PspConnection, returns_declines
from integrator.psp.toolkit.http import Answer, classify_failure
from integrator.psp.toolkit.instruments import stored
from integrator.psp.toolkit.money import to_minor
from integrator.psp.toolkit.outcomes import verify_reference
from integrator.psp.types import Declined, Outcome
from tallypay.wire import Account, Error, Mandate, Payment, Refund, declined, outcome

M = TypeVar("M", bound=Mandate)
NO_MANDATE = Declined(code=Code.BearerInvalid, message="There is no such mandate.")


class TallyPayClient(ApiClient):
    """One merchant's access to TallyPay's API."""

    key_header = "Request-Key"

    def problem(self, answer: Answer) -> PspError | RefusedError:
        """What an answer other than 2xx means: a definite no, a wrong token or an outage."""
        error = answer.try_parse(Error)
        if error is None:
            return classify_failure(answer)
        code = error.problem.code
        if answer.status == 401 and code == "bad_token":
            return CredentialsRejected("TallyPay does not accept the token", psp_code=code)
        if answer.status in (404, 422):
            no = declined(error.problem)
            return RefusedError(no, status=answer.status, missing=code == "unknown")
        return classify_failure(answer, code)


class TallyPayConnection(PspConnection):
    """An account at TallyPay, which holds no money and lists nothing."""

    def __init__(self, client: TallyPayClient) -> None:
        self._client = client

    @returns_declines
    async def authorize(self, call: types.Authorize) -> Outcome:
        """Sign a mandate, or see whether the one there is can still be used."""
        if call.instrument is not None:
            known = await self._client.get(Mandate, "mandates", stored(call)["mandate"])
            return outcome(known) if known else NO_MANDATE
        holder, iban = bank_account(call.initial_bearer)
        body = {"reference": call.reference, "holder": holder, "iban": iban}
        made = await self._client.post(Mandate, "mandates", body=body, key=call.idempotency_key)
        return outcome(verify_reference(made, call), Holder=holder, IBAN=iban)

    @returns_declines
    async def charge(self, call: types.Charge) -> Outcome:
        """Debit a mandate."""
        mandate = stored(call).get("mandate")
        if mandate is None:
            return NO_MANDATE
        return await self._move(Payment, "payments", call, mandate=mandate)

    @returns_declines
    async def refund(self, call: types.Refund) -> Outcome:
        """Give money of a payment back."""
        return await self._move(Refund, "refunds", call, payment=call.payment_psp_id)

    async def fetch_authorization(self, lookup: types.Lookup) -> Outcome | None:
        """A mandate."""
        return await self._find(Mandate, "mandates", lookup)

    async def fetch_payment(self, lookup: types.Lookup) -> Outcome | None:
        """A payment."""
        return await self._find(Payment, "payments", lookup)

    async def fetch_refund(self, lookup: types.Lookup) -> Outcome | None:
        """A refund."""
        return await self._find(Refund, "refunds", lookup)

    async def verify_settings(self) -> types.SettingsCheck:
        """One read with the token."""
        account = await self._client.require(Account, "account")
        return types.SettingsCheck(roles=frozenset({Role.Debit}), account=account.id)

    async def _move(self, model: type[M], path: str, call: types.Call, **about: str) -> Outcome:
        """With our reference and the call's key, unchanged."""
        money = {"amount": to_minor(call.amount, call.currency), "currency": call.currency}
        body = {"reference": call.reference, **about, **money}
        made = await self._client.post(model, path, body=body, key=call.idempotency_key)
        return outcome(verify_reference(made, call))

    async def _find(self, model: type[M], path: str, lookup: types.Lookup) -> Outcome | None:
        """By TallyPay's id if we know it, by our reference otherwise."""
        name = lookup.psp_id or f"ref:{lookup.reference}"
        found = await self._client.get(model, path, name)
        return outcome(verify_reference(found, lookup)) if found else None
