"""Mutants: another's movement, a movement of another amount, a movement that cannot be read."""

from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field

from integrator.psp.conformance.assertions import facts_of
from integrator.psp.errors import ProtocolError
from integrator.psp.sandbox import mapping, wire
from integrator.psp.sandbox.client import SandboxClient
from integrator.psp.sandbox.connection import SandboxConnection
from integrator.psp.toolkit.money import to_major
from integrator.psp.types import Fact, FactKind, Lookup, LookupAnswer, MovementPage, Outcome
from tests.conformance.mutants_base import Mutant, register_mutant
from tests.conformance.realistic_psp import (
    LedgerChargeback,
    RealisticConnection,
    RealisticMutant,
    chargeback_facts,
)

M = TypeVar("M", bound=BaseModel)


class _UnverifiedRefundConnection(SandboxConnection):
    async def fetch_refund(self, lookup: Lookup) -> LookupAnswer:
        if lookup.psp_id is None:
            return await super().fetch_refund(lookup)
        refund = await self._client.get(wire.Refund, "refunds", lookup.psp_id)
        if refund is None:
            return None
        stated = refund.model_copy(update={"charge": None, "currency": lookup.currency})
        return mapping.refund_outcome(stated)


@register_mutant("movements.another_payments_refund_is_not_booked[CreditCard-refund_currency]")
class RefundCurrencyIsIgnored(Mutant):
    """A refund's amount is read in the currency of its payment instead of its own."""

    connection = _UnverifiedRefundConnection


@register_mutant("movements.another_payments_refund_is_not_booked[CreditCard-refund_reference]")
class RefundReferenceIsIgnored(Mutant):
    """A refund found by its id is not compared with the transaction."""

    connection = _UnverifiedRefundConnection


@register_mutant("movements.another_payments_refund_is_not_booked[CreditCard-refund_parent]")
class RefundParentIsIgnored(Mutant):
    """A refund of another payment lowers what can be refunded of this one."""

    connection = _UnverifiedRefundConnection


class _OwnChargebackConnection(RealisticConnection):
    @staticmethod
    def read_chargeback(charge: wire.Charge, item: LedgerChargeback) -> list[Fact]:
        own = item.model_copy(update={"currency": None, "charge": None})
        return chargeback_facts(charge, own)


@register_mutant(
    "movements.another_payments_chargeback_is_not_booked[CreditCard-chargeback_currency]"
)
class ChargebackCurrencyIsIgnored(RealisticMutant):
    """A dispute of 130 USD on a charge of 119 EUR is booked as 130 EUR."""

    connection = _OwnChargebackConnection


@register_mutant(
    "movements.another_payments_chargeback_is_not_booked[CreditCard-chargeback_parent]"
)
class ChargebackParentIsIgnored(RealisticMutant):
    """Any chargeback in the response counts as one of the payment that was asked for."""

    connection = _OwnChargebackConnection


class _UnsignedConnection(RealisticConnection):
    @staticmethod
    def read_chargeback(charge: wire.Charge, item: LedgerChargeback) -> list[Fact]:
        movements = tuple(
            one.model_copy(update={"amount": -abs(one.amount)}) for one in item.movements or ()
        )
        return chargeback_facts(charge, item.model_copy(update={"movements": movements or None}))


@register_mutant("movements.another_payments_chargeback_is_not_booked[CreditCard-chargeback_sign]")
class ChargebackSignIsIgnored(RealisticMutant):
    """Money that the PSP returns counts as withdrawn."""

    connection = _UnsignedConnection


class _ClaimConnection(RealisticConnection):
    @staticmethod
    def read_chargeback(charge: wire.Charge, item: LedgerChargeback) -> list[Fact]:
        facts = chargeback_facts(charge, item)
        claimed = to_major(item.amount, item.currency or charge.currency)
        return [
            fact.model_copy(update={"amount": claimed})
            if fact.kind is FactKind.CHARGED_BACK
            else fact
            for fact in facts
        ]


@register_mutant(
    "movements.a_chargeback_amounts_to_what_was_withdrawn[CreditCard-chargeback_claim]"
)
class ClaimIsBooked(RealisticMutant):
    """A dispute's amount is booked, although less was withdrawn: 159 out of 119."""

    connection = _ClaimConnection


class _ForgettingConnection(RealisticConnection):
    @staticmethod
    def read_chargeback(charge: wire.Charge, item: LedgerChargeback) -> list[Fact]:
        return chargeback_facts(charge, item)[:1]


@register_mutant(
    "movements.a_returned_chargeback_is_a_fact_of_its_own[CreditCard-chargeback_returned]"
)
class ReturnIsForgotten(RealisticMutant):
    """A dispute that was won stays charged back for ever, and nothing can be refunded."""

    connection = _ForgettingConnection


class _NettingConnection(RealisticConnection):
    @staticmethod
    def read_chargeback(charge: wire.Charge, item: LedgerChargeback) -> list[Fact]:
        facts = chargeback_facts(charge, item)
        returned = sum(fact.amount for fact in facts[1:])
        left = facts[0].amount - returned
        return [facts[0].model_copy(update={"amount": left})] if left else []


@register_mutant(
    "movements.a_returned_chargeback_is_a_fact_of_its_own[CreditCard-chargeback_part_returned]"
)
class ReturnChangesTheChargeback(RealisticMutant):
    """A chargeback's amount shrinks when part of it comes back: the same fact, another sum."""

    connection = _NettingConnection


class _ListIdConnection(SandboxConnection):
    async def list_movements(
        self, since: datetime, until: datetime, cursor: str | None
    ) -> MovementPage:
        page = await super().list_movements(since, until, cursor)
        movements = tuple(
            one.model_copy(update={"outcome": _with_list_ids(one.outcome)})
            for one in page.movements
        )
        return page.model_copy(update={"movements": movements})


def _with_list_ids(outcome: Outcome) -> Outcome:
    facts = tuple(
        fact.model_copy(update={"id": f"listed_{fact.id}"})
        if fact.kind is FactKind.CHARGED_BACK
        else fact
        for fact in facts_of(outcome)
    )
    return outcome.model_copy(update={"facts": facts} if facts else {})


@register_mutant("movements.a_list_contradicts_no_look_up[CreditCard-chargeback_bookkeeping]")
class ListedChargebackCountsTwice(Mutant):
    """A chargeback has another id in the list than in a look-up, and counts twice."""

    connection = _ListIdConnection


class _StrictChargeback(wire.Chargeback):
    fee_amount: Annotated[int, Field(ge=0)] = 0


class _StrictCharge(wire.Charge):
    chargebacks: tuple[_StrictChargeback, ...] = ()


class _StrictFeesClient(SandboxClient):
    async def get(self, model: type[M], *path: str, **query: Any) -> M | None:
        if model is wire.Charge:
            await super().get(_StrictCharge, *path, **query)
        return await super().get(model, *path, **query)


@register_mutant(
    "movements.a_chargeback_is_read_without_its_bookkeeping[CreditCard-chargeback_bookkeeping]"
)
class FeeDecidesAboutMoney(Mutant):
    """A fee below 0, as that of a won dispute, makes the payment unreadable for ever."""

    client = _StrictFeesClient


class _NoNullsClient(SandboxClient):
    async def get(self, model: type[M], *path: str, **query: Any) -> M | None:
        found = await super().get(model, *path, **query)
        if isinstance(found, wire.Charge) and found.booked_on is None and _is_done(found):
            raise ProtocolError("The PSP returned a charge without its date.")
        return found


def _is_done(charge: wire.Charge) -> bool:
    return charge.status == "succeeded"


@register_mutant("movements.a_payment_is_read_without_its_bookkeeping[CreditCard-payment_nulls]")
class NullIsUnreadable(Mutant):
    """A member that is null where the documentation shows a value makes the payment unreadable."""

    client = _NoNullsClient
