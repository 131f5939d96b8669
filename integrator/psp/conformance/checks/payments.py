"""Payments with a stored payment method, and what may become of them later."""

from collections.abc import Iterator

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.psp.conformance import call_factory, setup
from integrator.psp.conformance.assertions import (
    approved,
    declined,
    equal,
    facts,
    one_fact,
    require,
    same_movement,
    sums,
)
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.harness import Booking, Movement, Script
from integrator.psp.conformance.registry import check
from integrator.psp.conformance.results import NotApplicable
from integrator.psp.conformance.setup import Money
from integrator.psp.types import Charge, Fact, FactKind, Instrument, Outcome, Pending

_AT_ONCE = {
    Script.LACKS_FUNDS: Code.InsufficientBalance,
    Script.EXPIRED_CARD: Code.BearerExpired,
}


def _scripts(world: CheckContext) -> Iterator[tuple[str, tuple[Money, Script]]]:
    for label, money in setup.first_moneys(world):
        for script in _AT_ONCE:
            yield f"{label}-{script.value}", (money, script)


@check(setup.method_currencies)
async def a_payment_is_taken(world: CheckContext, money: Money) -> None:
    """A charge takes the exact amount, once, and can be found by id and by reference."""
    call, outcome = await setup.paid(world, money)
    one_fact(outcome, FactKind.PAID, money.amount)
    booked = await world.bench.booked(call.reference)
    if booked is not None:
        equal(list(booked), [Booking(Movement.CHARGE, money.amount, money.currency)], "the books")
    for psp_id in (None, setup.known_as(outcome)):
        found = approved(await setup.found(world, call, psp_id))
        same_movement(found, outcome)


@check(_scripts)
async def a_payment_is_refused(world: CheckContext, case: tuple[Money, Script]) -> None:
    """A refused charge is a Declined with the reason in the contract's words; nothing is taken."""
    money, script = case
    call = await _scripted(world, money, script)
    outcome = await setup.decided(world, call, await world.connection.charge(call))
    declined(outcome, _AT_ONCE[script])
    require(not await world.bench.booked(call.reference), "Something was booked.")


@check(setup.first_moneys)
async def a_payment_is_decided_later(world: CheckContext, money: Money) -> None:
    """What is merely accepted is Pending without a payment, and Approved when it is one."""
    call = await _scripted(world, money, Script.PENDING_THEN_DONE)
    first = await world.connection.charge(call)
    require(isinstance(first, Pending), f"Pending was to be expected, not {first}")
    require(FactKind.PAID not in [fact.kind for fact in facts(first)], "It counts as paid.")
    one_fact(await setup.decided(world, call, first), FactKind.PAID, call.amount)


@check(setup.first_moneys)
async def a_payment_fails_later(world: CheckContext, money: Money) -> None:
    """A payment that was pending and failed is a decline without money."""
    call = await _scripted(world, money, Script.PENDING_THEN_FAILED)
    first = await world.connection.charge(call)
    require(isinstance(first, Pending), f"Pending was to be expected, not {first}")
    outcome = declined(await setup.decided(world, call, first))
    equal(sums(outcome), [], "the facts of a failed payment")


@check(setup.first_moneys)
async def a_payment_is_taken_back(world: CheckContext, money: Money) -> None:
    """A chargeback stands beside the payment: with an id of its own and the exact amount."""
    call = await _scripted(world, money, Script.CHARGED_BACK)
    first = await world.connection.charge(call)

    async def look() -> Fact | None:
        found = await setup.found(world, call)
        return next((f for f in facts(found) if f.kind is FactKind.CHARGED_BACK), None)

    taken_back = await setup.eventually(world, look)
    if taken_back is None:
        require(False, "The chargeback does not show in a look-up.")
        return
    equal(taken_back.amount, call.amount, "the amount charged back")
    after = await setup.found(world, call)
    paid = [fact for fact in facts(after) if fact.kind is FactKind.PAID]
    equal([fact.amount for fact in paid], [call.amount], "what was paid, after a chargeback")
    require(taken_back.id not in [fact.id for fact in paid], "Both facts have the same id.")
    require(taken_back.reason is not None, "The chargeback has no reason; say Unknown.")
    approved_or_pending(first)


@check(setup.first_moneys)
async def a_lost_payment_method_is_refused(world: CheckContext, money: Money) -> None:
    """A charge with a payment method that the PSP does not have is declined."""
    stored = await setup.instrument(world, money)
    gone = {key: f"{value[:4]}gone0000" for key, value in stored.token.items()}
    call = call_factory.charge(
        money.role, money.amount, money.currency, Instrument(token=gone, bearer=stored.bearer)
    )
    declined(await world.connection.charge(call))


@check(setup.first_moneys)
async def no_payment_method_is_refused(world: CheckContext, money: Money) -> None:
    """A charge without anything to charge is declined without asking the PSP."""
    nothing = Instrument(token={}, bearer={})
    call = call_factory.charge(money.role, money.amount, money.currency, nothing)
    declined(await world.connection.charge(call))
    require(not world.wire.writes, "The PSP was asked.")


@check(setup.first_moneys)
async def two_payments_are_two(world: CheckContext, money: Money) -> None:
    """Another transaction of the same amount is another payment."""
    (first, one), (second, two) = await setup.paid(world, money), await setup.paid(world, money)
    require(setup.known_as(one) != setup.known_as(two), "Two payments have the same id.")
    ids = {fact.id for outcome in (one, two) for fact in outcome.facts}
    equal(len(ids), 2, "the number of facts")
    for call in (first, second):
        booked = await world.bench.booked(call.reference)
        require(booked is None or len(booked) == 1, "The PSP did not book one payment each.")


def approved_or_pending(outcome: Outcome) -> None:
    """A payment that was later taken back had not failed before."""
    require(outcome.outcome in ("approved", "pending"), f"It began as {outcome}")


async def _scripted(world: CheckContext, money: Money, script: Script) -> Charge:
    stored = await setup.instrument(world, money)
    call = call_factory.charge(money.role, money.amount, money.currency, stored)
    scripted = await world.bench.scripted(call, script)
    if scripted is None:
        raise NotApplicable(f"the bench has no script {script.value} for {money.role.name}")
    return scripted
