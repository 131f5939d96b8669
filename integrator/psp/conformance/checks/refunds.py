"""Money given back: the operation that is protected worst elsewhere."""

from collections.abc import Iterator
from decimal import Decimal

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.psp.conformance import call_factory, setup
from integrator.psp.conformance.assertions import (
    approved,
    declined,
    equal,
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
from integrator.psp.types import Declined, FactKind, Operation, Outcome, Pending, Refund


def _all(world: CheckContext) -> Iterator[tuple[str, Money]]:
    yield from setup.method_currencies(world, world.sheet.methods if world.sheet.refunds else ())


def _first(world: CheckContext) -> Iterator[tuple[str, Money]]:
    yield from setup.first_moneys(world, world.sheet.methods if world.sheet.refunds else ())


def _without(world: CheckContext) -> Iterator[tuple[str, Money]]:
    yield from setup.first_moneys(world, () if world.sheet.refunds else world.sheet.methods)


@check(_all)
async def all_of_it_is_refunded(world: CheckContext, money: Money) -> None:
    """A refund gives the exact amount back, under its own reference, and can be found."""
    await _refunded(world, money, money.amount)


@check(_all)
async def a_part_is_refunded(world: CheckContext, money: Money) -> None:
    """A refund gives back the amount asked for, not the amount paid."""
    await _refunded(world, money, call_factory.part_of(money.amount, money.currency))


@check(_first)
async def two_parts_are_refunded(world: CheckContext, money: Money) -> None:
    """Two refunds of the same amount, for two transactions, are two movements."""
    payment, paid = await setup.paid(world, money)
    amount = call_factory.part_of(money.amount, money.currency)
    ids = set()
    for _ in range(2):
        call = call_factory.refund(money.role, amount, money.currency, setup.known_as(paid))
        first = await world.connection.refund(call)
        outcome = approved(await setup.decided(world, call, first))
        one_fact(outcome, FactKind.REFUNDED, amount)
        ids |= {fact.id for fact in outcome.facts}
        booked = await world.bench.booked(call.reference)
        require(booked is None or len(booked) == 1, "The PSP did not book one refund each.")
    equal(len(ids), 2, "the number of facts")
    found = approved(await setup.found(world, payment, setup.known_as(paid)))
    in_payment = [fact for fact in found.facts if fact.kind is FactKind.PAID]
    equal([fact.amount for fact in in_payment], [money.amount], "the payment after its refunds")


@check(_first)
async def too_much_is_refunded(world: CheckContext, money: Money) -> None:
    """More than was paid is declined, and nothing is given back."""
    _, paid = await setup.paid(world, money)
    call = call_factory.refund(money.role, money.amount * 3, money.currency, setup.known_as(paid))
    declined(await setup.decided(world, call, await world.connection.refund(call)))
    require(not await world.bench.booked(call.reference), "Something was booked.")


@check(_first)
async def it_is_not_refunded_twice(world: CheckContext, money: Money) -> None:
    """When everything was given back, another transaction's refund is declined."""
    _, paid = await setup.paid(world, money)
    for again in (False, True):
        call = call_factory.refund(money.role, money.amount, money.currency, setup.known_as(paid))
        outcome = await setup.decided(world, call, await world.connection.refund(call))
        if not again:
            approved(outcome)
            continue
        declined(outcome)
        require(not await world.bench.booked(call.reference), "It was refunded twice.")


@check(_first)
async def nothing_is_refunded(world: CheckContext, money: Money) -> None:
    """A refund of a payment that never was is declined."""
    _, paid = await setup.paid(world, money)
    psp_id = setup.known_as(paid)
    unknown = psp_id[:-4] + psp_id[-4:].swapcase()[::-1] + "0"
    call = call_factory.refund(money.role, money.amount, money.currency, unknown)
    declined(await world.connection.refund(call))


@check(_first)
async def a_refund_is_refused(world: CheckContext, money: Money) -> None:
    """A refund for which the merchant's balance is too low is InsufficientBalance."""
    call = await _scripted(world, money, Script.LACKS_FUNDS)
    outcome = await setup.decided(world, call, await world.connection.refund(call))
    declined(outcome, Code.InsufficientBalance)


@check(_first)
async def a_refund_is_decided_later(world: CheckContext, money: Money) -> None:
    """A refund that is merely accepted is Pending without a movement, later a movement."""
    call = await _scripted(world, money, Script.PENDING_THEN_DONE)
    first = await _pending(world, call)
    one_fact(await setup.decided(world, call, first), FactKind.REFUNDED, call.amount)


@check(_first)
async def a_refund_fails_later(world: CheckContext, money: Money) -> None:
    """A refund that was accepted and failed gave nothing back."""
    call = await _scripted(world, money, Script.PENDING_THEN_FAILED)
    first = await _pending(world, call)
    outcome = await setup.decided(world, call, first)
    require(isinstance(outcome, Declined), f"Declined was to be expected, not {outcome}")
    kept = sum(
        (amount if kind is FactKind.REFUNDED else -amount for kind, amount in sums(outcome)),
        Decimal(0),
    )
    equal(kept, Decimal(0), "what a failed refund gave back")


@check(_without)
async def refunds_are_declined(world: CheckContext, money: Money) -> None:
    """An adapter without refunds declines them without asking the PSP."""
    call = call_factory.refund(money.role, money.amount, money.currency, "any_0000000000")
    declined(await world.connection.refund(call))
    require(not world.wire.writes, "The PSP was asked.")


async def _refunded(world: CheckContext, money: Money, amount: Decimal) -> None:
    _, paid = await setup.paid(world, money)
    call = call_factory.refund(money.role, amount, money.currency, setup.known_as(paid))
    first = await world.connection.refund(call)
    if Operation.REFUND in world.sheet.asynchronous:
        require(isinstance(first, Pending), f"asynchronous is wrong about it: {first}")
    outcome = approved(await setup.decided(world, call, first))
    one_fact(outcome, FactKind.REFUNDED, amount)
    booked = await world.bench.booked(call.reference)
    if booked is not None:
        equal(list(booked), [Booking(Movement.REFUND, amount, money.currency)], "the books")
    for psp_id in (None, setup.known_as(outcome)):
        found = approved(await setup.found(world, call, psp_id))
        same_movement(found, outcome)


async def _pending(world: CheckContext, call: Refund) -> Outcome:
    first = await world.connection.refund(call)
    require(isinstance(first, Pending), f"Pending was to be expected, not {first}")
    return first


async def _scripted(world: CheckContext, money: Money, script: Script) -> Refund:
    _, paid = await setup.paid(world, money)
    call = call_factory.refund(money.role, money.amount, money.currency, setup.known_as(paid))
    scripted = await world.bench.scripted(call, script)
    if scripted is None:
        raise NotApplicable(f"the bench has no script {script.value} for refunds")
    return scripted
