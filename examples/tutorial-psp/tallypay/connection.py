"""The port's operations for one merchant of TallyPay."""

from collections.abc import Awaitable
from datetime import datetime
from typing import Any, TypeVar

from contract.enums import PaymentErrorCode as Code
from contract.enums import PublicPaymentProviderRole as Role
from psp import types
from psp.common.bearer import bank_account
from psp.common.http import PspHttp
from psp.common.money import UnpayableError, to_minor
from psp.errors import BearerRefused, ProtocolError
from psp.types import Declined, Outcome
from tallypay.wire import (
    Account,
    Mandate,
    Payment,
    Refund,
    RefusedError,
    declined,
    outcome,
    refusal,
)

W = TypeVar("W", bound=Account)
M = TypeVar("M", bound=Mandate)
NOTHING_HELD = Declined(code=Code.InvalidPreconditions, message="TallyPay holds no money.")
NO_MANDATE = Declined(code=Code.BearerInvalid, message="There is no such mandate.")


class TallyPayConnection:
    """An account at TallyPay."""

    def __init__(self, http: PspHttp) -> None:
        self._http = http

    async def authorize(self, call: types.Authorize) -> Outcome:
        """Sign a mandate, or see whether the one there is can still be used."""
        if call.instrument is None:
            return await answered(self._sign(call))
        known = await self._get(Mandate, "mandates", call.instrument.token["mandate"])
        return outcome(known) if known else NO_MANDATE

    async def void(self, call: types.Void) -> Outcome:
        """There is nothing to give back."""
        return NOTHING_HELD

    async def capture(self, call: types.Capture) -> Outcome:
        """There is nothing to capture."""
        return NOTHING_HELD

    async def charge(self, call: types.Charge) -> Outcome:
        """Debit a mandate."""
        mandate = call.instrument.token.get("mandate")
        if mandate is None:
            return NO_MANDATE
        return await answered(self._move(Payment, "payments", call, mandate=mandate))

    async def refund(self, call: types.Refund) -> Outcome:
        """Give money of a payment back."""
        return await answered(self._move(Refund, "refunds", call, payment=call.payment_psp_id))

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
        found = await self._get(Account, "account")
        if found is None:
            raise ProtocolError("TallyPay has no account for a token that it accepts.")
        return types.SettingsCheck(roles=frozenset({Role.Debit}), account=found.id)

    async def list_events(self, cursor: str | None) -> types.EventPage:
        """Never called: the capability is not declared."""
        raise ProtocolError("TallyPay lists no events.")

    async def list_movements(
        self, since: datetime, until: datetime, cursor: str | None
    ) -> types.MovementPage:
        """Never called: the capability is not declared."""
        raise ProtocolError("TallyPay lists no movements.")

    async def _sign(self, call: types.Authorize) -> Outcome:
        holder, iban = bank_account(call.initial_bearer)
        mandate = await self._post(Mandate, "mandates", call, holder=holder, iban=iban)
        return outcome(mandate, Holder=holder, IBAN=iban)

    async def _move(self, model: type[M], path: str, call: types.Call, **body: str) -> Outcome:
        money = {"amount": to_minor(call.amount, call.currency), "currency": call.currency}
        return outcome(await self._post(model, path, call, **body, **money))

    async def _post(self, model: type[M], path: str, call: types.Call, **body: Any) -> M:
        """With our reference and the call's key, unchanged. Raises `RefusedError`."""
        named = {"reference": call.reference, **body}
        headers = {"Request-Key": call.idempotency_key}
        answer = await self._http.send("POST", path, body=named, headers=headers)
        if not answer.ok:
            raise refusal(answer)
        return ours(answer.read(model), call)

    async def _find(self, model: type[M], path: str, lookup: types.Lookup) -> Outcome | None:
        """By TallyPay's id if we know it, by our reference otherwise."""
        found = await self._get(model, path, lookup.psp_id or f"ref:{lookup.reference}")
        return outcome(ours(found, lookup)) if found else None

    async def _get(self, model: type[W], *path: str) -> W | None:
        """None only if TallyPay itself says that there is no such thing."""
        answer = await self._http.send("GET", *path)
        if answer.ok:
            return answer.read(model)
        error = refusal(answer)
        if not isinstance(error, RefusedError):
            raise error
        if error.problem.code != "unknown":
            raise ProtocolError("TallyPay refused to be read.", psp_code=error.problem.code)
        return None


async def answered(operation: Awaitable[Outcome]) -> Outcome:
    """A definite no, or what can never be asked for, is a value and no exception."""
    try:
        return await operation
    except (BearerRefused, UnpayableError) as refused:
        return Declined(code=refused.code, message=str(refused))
    except RefusedError as refused:
        return declined(refused.problem)


def ours(found: M, asked: types.Call | types.Lookup) -> M:
    """Nobody else's object, and no amount in another currency, is believed."""
    if found.reference != asked.reference:
        raise ProtocolError("TallyPay answered with an object of another transaction.")
    if isinstance(found, Payment) and found.currency != asked.currency:
        raise ProtocolError("TallyPay answered in another currency.")
    return found
