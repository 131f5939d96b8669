"""Mutants: an unknown outcome is treated as known, or a known one is lost."""

from typing import Any

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.psp.errors import OutcomeUnknown, PspError, PspTimeout, RateLimited
from integrator.psp.sandbox.connection import SandboxConnection
from integrator.psp.toolkit.http import PspHttp, PspResponse
from integrator.psp.types import (
    Absent,
    Approved,
    Capture,
    Charge,
    Declined,
    Fact,
    FactKind,
    Lookup,
    LookupAnswer,
    Outcome,
    Pending,
    Refund,
)
from tests.conformance.mutants_base import (
    Mutant,
    ParentAdapter,
    ParentConnection,
    register_mutant,
)

FAILURE = Declined(code=Code.InternalProviderError, message="The payment failed.")


class _TimeoutFailsConnection(SandboxConnection):
    async def charge(self, call: Charge) -> Outcome:
        try:
            return await super().charge(call)
        except PspTimeout:
            return FAILURE


@register_mutant(
    "outages.an_interrupted_call_moves_money_once[charge-CreditCard-timeout-after]", lesson=2
)
class TimeoutIsFailure(Mutant):
    """A timeout is treated as a failure."""

    connection = _TimeoutFailsConnection


class _ServerErrorFailsConnection(SandboxConnection):
    async def charge(self, call: Charge) -> Outcome:
        try:
            return await super().charge(call)
        except RateLimited:
            raise
        except OutcomeUnknown as error:
            if "HTTP 5" not in str(error):
                raise
            return FAILURE


@register_mutant("outages.a_psp_error_leaves_the_outcome_unknown[charge-CreditCard]", lesson=17)
class ServerErrorIsFailure(Mutant):
    """HTTP 500 is treated as a failure, though the PSP may have booked."""

    connection = _ServerErrorFailsConnection


class _LookUpByIdConnection(SandboxConnection):
    async def fetch_payment(self, lookup: Lookup) -> Outcome | None:
        return None if lookup.psp_id is None else await super().fetch_payment(lookup)


@register_mutant("lookups.a_new_object_is_found_at_once[charge-CreditCard]", lesson=3)
class LooksUpByIdOnly(Mutant):
    """Payments are looked up by the PSP's id only, which a timeout leaves unknown."""

    connection = _LookUpByIdConnection


class _NotFoundFailsConnection(SandboxConnection):
    async def fetch_payment(self, lookup: Lookup) -> Outcome | None:
        return await super().fetch_payment(lookup) or FAILURE


@register_mutant("lookups.an_unknown_reference_is_none[fetch_payment-CreditCard]", lesson=4)
class NotFoundIsFailure(Mutant):
    """A payment that a look-up does not find is treated as failed."""

    connection = _NotFoundFailsConnection


class _SilentLookUpConnection(SandboxConnection):
    async def fetch_payment(self, lookup: Lookup) -> Outcome | None:
        try:
            return await super().fetch_payment(lookup)
        except PspError:
            return None


@register_mutant(
    "outages.an_interrupted_look_up_has_no_result[CreditCard-timeout-before]", lesson=18
)
class FailedLookUpIsNotFound(Mutant):
    """An interrupted look-up is treated as "not found"."""

    connection = _SilentLookUpConnection


class _InterruptedProvesConnection(ParentConnection):
    async def fetch_refund(self, lookup: Lookup) -> LookupAnswer:
        try:
            return await super().fetch_refund(lookup)
        except PspError:
            return Absent(proven=lookup.parent_psp_id is not None)


@register_mutant("lookups.an_existing_object_is_not_proven_absent[refund-CreditCard]")
class InterruptedLookUpProvesAbsence(Mutant):
    """A refund counts as proven absent though the list of its payment's refunds was not read."""

    connection = _InterruptedProvesConnection


class _AnyParentConnection(SandboxConnection):
    async def fetch_refund(self, lookup: Lookup) -> LookupAnswer:
        return await super().fetch_refund(lookup) or Absent(proven=True)


@register_mutant("lookups.an_unknown_parent_proves_nothing[refund-CreditCard]")
class UnknownParentProvesAbsence(Mutant):
    """A refund counts as proven absent though the PSP does not know its payment."""

    baseline = ParentAdapter
    connection = _AnyParentConnection


class _AnyNotFoundHttp(PspHttp):
    async def send(self, method: str, *path: str, **content: Any) -> PspResponse:
        answer = await super().send(method, *path, **content)
        if method == "GET" and answer.status == 404:
            return PspResponse(200, answer.headers, b'{"data": []}')
        return answer


@register_mutant("responses.a_malformed_response_is_not_a_look_up_result[404-page]", lesson=22)
class AnyPageIsNotFound(Mutant):
    """Any 404 in a look-up means that the payment does not exist, a proxy's too."""

    http = _AnyNotFoundHttp


def approve_pending(call: Capture | Refund, kind: FactKind, outcome: Outcome) -> Outcome:
    """Treat what is merely accepted as done."""
    if not isinstance(outcome, Pending) or outcome.psp_id is None:
        return outcome
    fact = Fact(kind=kind, id=outcome.psp_id, amount=call.amount)
    return Approved(psp_id=outcome.psp_id, facts=(fact,))


class _EagerCaptureConnection(SandboxConnection):
    async def capture(self, call: Capture) -> Outcome:
        return approve_pending(call, FactKind.PAID, await super().capture(call))


@register_mutant("reservations.a_pending_capture_succeeds_later[CreditCard]", lesson=5)
class AcceptedCaptureIsDone(Mutant):
    """A capture that was merely accepted counts as done and is not followed up."""

    connection = _EagerCaptureConnection


class _EagerRefundConnection(SandboxConnection):
    async def refund(self, call: Refund) -> Outcome:
        return approve_pending(call, FactKind.REFUNDED, await super().refund(call))


@register_mutant("refunds.a_pending_refund_fails_later[CreditCard]", lesson=31)
class AcceptedRefundIsDone(Mutant):
    """A refund that was merely accepted counts as done, and fails later."""

    connection = _EagerRefundConnection


class _FailureStaysPendingConnection(SandboxConnection):
    async def fetch_payment(self, lookup: Lookup) -> Outcome | None:
        fetched = await super().fetch_payment(lookup)
        return Pending(psp_id=fetched.psp_id) if isinstance(fetched, Declined) else fetched


@register_mutant("payments.a_pending_payment_fails_later[CreditCard]", lesson=6)
class FailureStaysPending(Mutant):
    """A late failure is not recognised: the payment stays pending."""

    connection = _FailureStaysPendingConnection


class _CheckoutStaysPendingConnection(SandboxConnection):
    async def fetch_authorization(self, lookup: Lookup) -> Outcome | None:
        fetched = await super().fetch_authorization(lookup)
        if fetched is None or not (lookup.psp_id or "").startswith("cs_"):
            return fetched
        return Pending(psp_id=lookup.psp_id)


@register_mutant("signups.a_customer_pays_at_the_hosted_page[CreditCard-EUR]", lesson=32)
class WaitsForTheNotification(Mutant):
    """Only a notification ends a checkout; if it never arrives, the sign-up stays pending."""

    connection = _CheckoutStaysPendingConnection


class _NoChargebackConnection(SandboxConnection):
    async def fetch_payment(self, lookup: Lookup) -> Outcome | None:
        fetched = await super().fetch_payment(lookup)
        if not isinstance(fetched, Approved):
            return fetched
        paid_facts = tuple(fact for fact in fetched.facts if fact.kind is FactKind.PAID)
        return fetched.model_copy(update={"facts": paid_facts})


@register_mutant("payments.a_payment_is_charged_back[Debit]", lesson=20)
class ChargebackIsIgnored(Mutant):
    """A direct debit that is charged back stays paid."""

    connection = _NoChargebackConnection


class _UnlinkedReversalConnection(SandboxConnection):
    async def fetch_payment(self, lookup: Lookup) -> Outcome | None:
        fetched = await super().fetch_payment(lookup)
        if not isinstance(fetched, Approved):
            return fetched
        reversals = tuple(
            Fact(kind=FactKind.CHARGEBACK_REVERSED, id=f"{fact.id}/won", amount=fact.amount)
            for fact in fetched.facts
            if fact.kind is FactKind.CHARGED_BACK
        )
        return fetched.model_copy(update={"facts": (*fetched.facts, *reversals)})


@register_mutant("payments.a_payment_is_charged_back[Debit]")
class ReversalNamesNoChargeback(Mutant):
    """A reversal does not say which chargeback it reverses, and is never counted."""

    connection = _UnlinkedReversalConnection


class _PspBearerFormatConnection(SandboxConnection):
    async def fetch_authorization(self, lookup: Lookup) -> Outcome | None:
        fetched = await super().fetch_authorization(lookup)
        stored = fetched.instrument if isinstance(fetched, Approved) else None
        if stored is None or "ExpiryMonth" not in stored.bearer:
            return fetched
        month = stored.bearer["ExpiryMonth"].zfill(2)
        bearer = {**stored.bearer, "ExpiryYear": stored.bearer["ExpiryYear"][2:]}
        changed = stored.model_copy(update={"bearer": {**bearer, "ExpiryMonth": month}})
        return fetched.model_copy(update={"instrument": changed}) if fetched else fetched


@register_mutant("signups.a_bearer_has_the_contract_format[CreditCard]")
class BearerInPspFormat(Mutant):
    """A card's expiry is passed on in the PSP's format, not in the contract's."""

    connection = _PspBearerFormatConnection
