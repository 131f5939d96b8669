"""Money held on a stored payment method, and its end: captured, given back, or neither."""

from collections.abc import Iterator
from decimal import Decimal

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PaymentTransactionStatus as Status
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
from integrator.psp.types import Approved, Capture, Declined, FactKind, Operation, Pending, Void

_SCRIPTED = {
    Script.LACKS_FUNDS: Code.InsufficientBalance,
    Script.EXPIRED_CARD: Code.BearerExpired,
}

_ANY_ID = "any_00000000000000000000"


def _all(world: CheckContext) -> Iterator[tuple[str, Money]]:
    yield from setup.method_currencies(world, setup.holding(world))


def _first(world: CheckContext) -> Iterator[tuple[str, Money]]:
    yield from setup.first_moneys(world, setup.holding(world))


def _voidable(world: CheckContext) -> Iterator[tuple[str, Money]]:
    roles = [role for role in setup.holding(world) if world.method(role).cancel]
    yield from setup.first_moneys(world, roles)


def _holding_nothing(world: CheckContext) -> Iterator[tuple[str, Money]]:
    roles = [role for role in world.sheet.methods if role not in setup.holding(world)]
    yield from setup.first_moneys(world, roles)


def _scripts(world: CheckContext) -> Iterator[tuple[str, tuple[Money, Script]]]:
    for label, money in _first(world):
        for script in _SCRIPTED:
            yield f"{label}-{script.value}", (money, script)


@check(_all)
async def money_is_held(world: CheckContext, money: Money) -> None:
    """A reservation holds the exact amount until a given time and can be found."""
    call, outcome = await setup.held(world, money)
    one_fact(outcome, FactKind.AUTHORIZED, money.amount)
    booked = await world.bench.booked(call.reference)
    if booked is not None:
        wanted = [Booking(Movement.AUTHORIZE, money.amount, money.currency)]
        equal(list(booked), wanted, "what the PSP holds")
    for psp_id in (None, setup.known_as(outcome)):
        found = approved(await setup.found(world, call, psp_id))
        same_movement(found, outcome)


@check(_scripts)
async def a_reservation_is_refused(world: CheckContext, case: tuple[Money, Script]) -> None:
    """A refused reservation is a Declined with the reason in the contract's words."""
    money, script = case
    stored = await setup.instrument(world, money)
    call = call_factory.reserve(money.role, money.amount, money.currency, stored)
    scripted = await world.bench.scripted(call, script)
    if scripted is None:
        raise NotApplicable(f"the bench has no script {script.value} for a reservation")
    declined(await world.connection.authorize(scripted), _SCRIPTED[script])


@check(_first)
async def an_upgrade_without_money(world: CheckContext, money: Money) -> None:
    """A preauth of 0 with a stored payment method holds nothing."""
    stored = await setup.instrument(world, money)
    call = call_factory.reserve(money.role, Decimal(0), money.currency, stored)
    outcome = approved(await world.connection.authorize(call))
    equal(sums(outcome), [], "the facts of an upgrade without money")
    require(not await world.bench.booked(call.reference), "Something was booked.")


@check(_all)
async def all_of_it_is_captured(world: CheckContext, money: Money) -> None:
    """A capture takes the exact amount, under its own reference, and can be found."""
    await _captured(world, money, money.amount)


@check(_all)
async def a_part_is_captured(world: CheckContext, money: Money) -> None:
    """A capture takes the amount asked for, not the amount held."""
    if not world.sheet.partial_capture:
        raise NotApplicable("the PSP captures all or nothing (partial_capture)")
    await _captured(world, money, call_factory.part_of(money.amount, money.currency))


@check(_first)
async def a_capture_is_decided_later(world: CheckContext, money: Money) -> None:
    """A capture that is merely accepted is Pending without a payment, and later a payment."""
    call = await _scripted_capture(world, money, Script.PENDING_THEN_DONE)
    first = await world.connection.capture(call)
    require(isinstance(first, Pending), f"Pending was to be expected, not {first}")
    require(FactKind.PAID not in [kind for kind, _ in sums(first)], "It counts as paid.")
    one_fact(await setup.decided(world, call, first), FactKind.PAID, call.amount)


@check(_first)
async def a_capture_fails_later(world: CheckContext, money: Money) -> None:
    """A capture that was accepted and failed is a decline without money."""
    call = await _scripted_capture(world, money, Script.PENDING_THEN_FAILED)
    first = await world.connection.capture(call)
    require(isinstance(first, Pending), f"Pending was to be expected, not {first}")
    outcome = declined(await setup.decided(world, call, first))
    equal(sums(outcome), [], "the facts of a failed capture")


@check(_first)
async def a_part_is_refused(world: CheckContext, money: Money) -> None:
    """Without partial captures, a part is declined rather than everything taken."""
    if world.sheet.partial_capture:
        raise NotApplicable("the PSP captures parts (partial_capture)")
    _, held = await setup.held(world, money)
    amount = call_factory.part_of(money.amount, money.currency)
    call = call_factory.capture(money.role, amount, money.currency, setup.known_as(held))
    declined(await world.connection.capture(call))
    require(not await world.bench.booked(call.reference), "Something was booked.")


@check(_first)
async def too_much_is_captured(world: CheckContext, money: Money) -> None:
    """More than is held is declined, and nothing is taken."""
    _, held = await setup.held(world, money)
    call = call_factory.capture(money.role, money.amount * 3, money.currency, setup.known_as(held))
    declined(await setup.decided(world, call, await world.connection.capture(call)))
    require(not await world.bench.booked(call.reference), "Something was booked.")


@check(_first)
async def nothing_is_captured(world: CheckContext, money: Money) -> None:
    """A capture of what was never held is declined."""
    _, held = await setup.held(world, money)
    call = call_factory.capture(money.role, money.amount, money.currency, _unknown(held))
    declined(await world.connection.capture(call))


@check(_first)
async def it_is_not_captured_twice(world: CheckContext, money: Money) -> None:
    """When all that was held has been taken, another transaction's capture is declined."""
    _, held = await setup.held(world, money)
    for again in (False, True):
        call = call_factory.capture(money.role, money.amount, money.currency, setup.known_as(held))
        outcome = await setup.decided(world, call, await world.connection.capture(call))
        if not again:
            approved(outcome)
            continue
        declined(outcome)
        require(not await world.bench.booked(call.reference), "It was captured twice.")


@check(_holding_nothing)
async def what_is_not_held_is_neither_taken_nor_given_back(
    world: CheckContext, money: Money
) -> None:
    """Payment methods that hold no money decline captures and voids, and raise nothing."""
    call = call_factory.capture(money.role, money.amount, money.currency, _ANY_ID)
    declined(await world.connection.capture(call))
    reserved = call_factory.sign_up(money.role, money.amount, money.currency)
    declined(await world.connection.void(call_factory.void(reserved, _ANY_ID)))


@check(_voidable)
async def a_reservation_is_given_back(world: CheckContext, money: Money) -> None:
    """A confirmed void leaves nothing to be captured, and is no failure of the preauth."""
    call, held = await setup.held(world, money)
    await _voided(world, call_factory.void(call, setup.known_as(held)))
    ended = declined(await setup.found(world, call), status=Status.Cancelled)
    equal(sums(ended), [], "what is still held")
    late = call_factory.capture(money.role, money.amount, money.currency, setup.known_as(held))
    declined(await world.connection.capture(late))


@check(_voidable)
async def a_captured_reservation_is_kept(world: CheckContext, money: Money) -> None:
    """A void that comes too late is declined: the money has been taken."""
    call, held = await setup.held(world, money)
    taken = call_factory.capture(money.role, money.amount, money.currency, setup.known_as(held))
    approved(await setup.decided(world, taken, await world.connection.capture(taken)))
    outcome = await world.connection.void(call_factory.void(call, setup.known_as(held)))
    require(isinstance(outcome, Declined | Pending), "A void after the capture was confirmed.")


@check(_voidable)
async def nothing_is_given_back(world: CheckContext, money: Money) -> None:
    """A void of what was never held is declined."""
    call, held = await setup.held(world, money)
    declined(await world.connection.void(call_factory.void(call, _unknown(held))))


async def _captured(world: CheckContext, money: Money, amount: Decimal) -> None:
    _, held = await setup.held(world, money)
    call = call_factory.capture(money.role, amount, money.currency, setup.known_as(held))
    first = await world.connection.capture(call)
    accepted = Operation.CAPTURE in world.sheet.asynchronous
    require(isinstance(first, Pending) is accepted, f"asynchronous is wrong about it: {first}")
    outcome = approved(await setup.decided(world, call, first))
    one_fact(outcome, FactKind.PAID, amount)
    booked = await world.bench.booked(call.reference)
    if booked is not None:
        equal(list(booked), [Booking(Movement.CAPTURE, amount, money.currency)], "the books")
    for psp_id in (None, setup.known_as(outcome)):
        found = approved(await setup.found(world, call, psp_id))
        same_movement(found, outcome)


async def _scripted_capture(world: CheckContext, money: Money, script: Script) -> Capture:
    _, held = await setup.held(world, money)
    call = call_factory.capture(money.role, money.amount, money.currency, setup.known_as(held))
    scripted = await world.bench.scripted(call, script)
    if scripted is None:
        raise NotApplicable(f"the bench has no script {script.value} for captures")
    return scripted


async def _voided(world: CheckContext, call: Void) -> None:
    first = await world.connection.void(call)
    if Operation.VOID not in world.sheet.asynchronous:
        approved(first)
        return
    require(isinstance(first, Pending), f"asynchronous is wrong about the void: {first}")

    async def look() -> Declined | None:
        found = await world.connection.fetch_authorization(call_factory.lookup(call))
        return found if isinstance(found, Declined) else None

    require(await setup.eventually(world, look), "The void is never seen to be done.")


def _unknown(outcome: Approved) -> str:
    """An id of the same form that names nothing."""
    psp_id = setup.known_as(outcome)
    swapped = psp_id[-6:].swapcase()
    return psp_id[:-6] + (swapped if swapped != psp_id[-6:] else psp_id[-6:][::-1] + "0")
