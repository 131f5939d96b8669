"""Exhibits: an outcome that nobody knows is called one, or a known one is lost."""

from typing import Any

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.psp.errors import OutcomeUnknown, PspError, PspTimeout, RateLimited
from integrator.psp.sandbox.connection import SandboxConnection
from integrator.psp.toolkit.http import Answer, PspHttp
from integrator.psp.types import (
    Approved,
    Capture,
    Charge,
    Declined,
    Fact,
    FactKind,
    Lookup,
    Outcome,
    Pending,
    Refund,
)
from tests.conformance.mutants_base import Exhibit, shows

NO = Declined(code=Code.InternalProviderError, message="The payment failed.")


class _ImpatientCharges(SandboxConnection):
    async def charge(self, call: Charge) -> Outcome:
        try:
            return await super().charge(call)
        except PspTimeout:
            return NO


@shows("outages.a_broken_call_moves_money_once[charge-CreditCard-timeout-after]", lesson=2)
class TimeoutIsFailure(Exhibit):
    """A timeout is called a failure."""

    connection = _ImpatientCharges


class _HastyCharges(SandboxConnection):
    async def charge(self, call: Charge) -> Outcome:
        try:
            return await super().charge(call)
        except RateLimited:
            raise
        except OutcomeUnknown as error:
            if "HTTP 5" not in str(error):
                raise
            return NO


@shows("outages.the_psp_fails_in_its_own_words[charge-CreditCard]", lesson=17)
class ServerErrorIsFailure(Exhibit):
    """HTTP 500 is called a failure, though the PSP may have booked."""

    connection = _HastyCharges


class _ByIdOnly(SandboxConnection):
    async def fetch_payment(self, lookup: Lookup) -> Outcome | None:
        return None if lookup.psp_id is None else await super().fetch_payment(lookup)


@shows("lookups.what_was_made_is_found_at_once[charge-CreditCard]", lesson=3)
class LooksUpByIdOnly(Exhibit):
    """Payments are looked up by the PSP's id only, which a timeout leaves unknown."""

    connection = _ByIdOnly


class _AbsentIsFailed(SandboxConnection):
    async def fetch_payment(self, lookup: Lookup) -> Outcome | None:
        return await super().fetch_payment(lookup) or NO


@shows("lookups.what_never_was_is_none[fetch_payment-CreditCard]", lesson=4)
class NotFoundIsFailure(Exhibit):
    """A payment that a look-up does not find has failed."""

    connection = _AbsentIsFailed


class _SilentLookUps(SandboxConnection):
    async def fetch_payment(self, lookup: Lookup) -> Outcome | None:
        try:
            return await super().fetch_payment(lookup)
        except PspError:
            return None


@shows("outages.a_broken_look_up_tells_nothing[CreditCard-timeout-before]", lesson=18)
class BrokenLookUpIsNothing(Exhibit):
    """A look-up that breaks off has found nothing."""

    connection = _SilentLookUps


class _AnyNotFound(PspHttp):
    async def send(self, method: str, *path: str, **content: Any) -> Answer:
        answer = await super().send(method, *path, **content)
        if method == "GET" and answer.status == 404:
            return Answer(200, answer.headers, b'{"data": []}')
        return answer


@shows("answers.a_look_up_takes_no_garbage[404-page]", lesson=22)
class AnyPageIsNotFound(Exhibit):
    """Any 404 on a look-up means that there is no such payment, a proxy's too."""

    http = _AnyNotFound


def done(call: Capture | Refund, kind: FactKind, outcome: Outcome) -> Outcome:
    """What is merely accepted, taken for done."""
    if not isinstance(outcome, Pending) or outcome.psp_id is None:
        return outcome
    fact = Fact(kind=kind, id=outcome.psp_id, amount=call.amount)
    return Approved(psp_id=outcome.psp_id, facts=(fact,))


class _EagerCaptures(SandboxConnection):
    async def capture(self, call: Capture) -> Outcome:
        return done(call, FactKind.PAID, await super().capture(call))


@shows("reservations.a_capture_is_decided_later[CreditCard]", lesson=5)
class AcceptedCaptureIsDone(Exhibit):
    """A capture that was merely accepted is done; nobody follows it up."""

    connection = _EagerCaptures


class _EagerRefunds(SandboxConnection):
    async def refund(self, call: Refund) -> Outcome:
        return done(call, FactKind.REFUNDED, await super().refund(call))


@shows("refunds.a_refund_fails_later[CreditCard]", lesson=31)
class AcceptedRefundIsDone(Exhibit):
    """A refund that was merely accepted is done, and fails later."""

    connection = _EagerRefunds


class _NeverEnding(SandboxConnection):
    async def fetch_payment(self, lookup: Lookup) -> Outcome | None:
        found = await super().fetch_payment(lookup)
        return Pending(psp_id=found.psp_id) if isinstance(found, Declined) else found


@shows("payments.a_payment_fails_later[CreditCard]", lesson=6)
class FailureStaysPending(Exhibit):
    """A late failure is not understood: the payment never comes to an end."""

    connection = _NeverEnding


class _WaitsForNews(SandboxConnection):
    async def fetch_authorization(self, lookup: Lookup) -> Outcome | None:
        found = await super().fetch_authorization(lookup)
        if found is None or not (lookup.psp_id or "").startswith("cs_"):
            return found
        return Pending(psp_id=lookup.psp_id)


@shows("signups.a_customer_pays_at_the_page[CreditCard-EUR]", lesson=32)
class WaitsForTheNotification(Exhibit):
    """Only a notification ends a checkout; if it never comes, the sign-up hangs."""

    connection = _WaitsForNews


class _NoChargebacks(SandboxConnection):
    async def fetch_payment(self, lookup: Lookup) -> Outcome | None:
        found = await super().fetch_payment(lookup)
        if not isinstance(found, Approved):
            return found
        kept = tuple(fact for fact in found.facts if fact.kind is FactKind.PAID)
        return found.model_copy(update={"facts": kept})


@shows("payments.a_payment_is_taken_back[Debit]", lesson=20)
class ChargebackIsOverlooked(Exhibit):
    """A direct debit that the bank takes back stays paid."""

    connection = _NoChargebacks


class _Unfitting(SandboxConnection):
    async def fetch_authorization(self, lookup: Lookup) -> Outcome | None:
        found = await super().fetch_authorization(lookup)
        stored = found.instrument if isinstance(found, Approved) else None
        if stored is None or "ExpiryMonth" not in stored.bearer:
            return found
        month = stored.bearer["ExpiryMonth"].zfill(2)
        bearer = {**stored.bearer, "ExpiryYear": stored.bearer["ExpiryYear"][2:]}
        changed = stored.model_copy(update={"bearer": {**bearer, "ExpiryMonth": month}})
        return found.model_copy(update={"instrument": changed}) if found else found


@shows("signups.a_bearer_has_the_contracts_form[CreditCard]")
class BearerOfTheirOwn(Exhibit):
    """A card's expiry is passed on as the PSP writes it, not as the contract does."""

    connection = _Unfitting
