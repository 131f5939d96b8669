"""Money as numbers: exact in every currency, refused where no request could carry it."""

from collections.abc import Awaitable, Iterator
from decimal import Decimal

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.money import exponent
from integrator.psp.conformance import call_factory, operations, setup
from integrator.psp.conformance.assertions import declined, equal, one_fact, require
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.harness import Booking, Movement
from integrator.psp.conformance.operations import OperationKind, OperationVariant
from integrator.psp.conformance.registry import check
from integrator.psp.conformance.results import NotApplicable
from integrator.psp.conformance.setup import Money
from integrator.psp.types import FactKind, Outcome

# Binary fractions get them wrong: 4.35 * 100 is 434.99999999999994.
_TREACHEROUS = ("1.15", "4.35", "19.99", "33.33")
_REFUSABLE = (
    OperationVariant.CHECKOUT,
    OperationVariant.RESERVE,
    OperationVariant.CAPTURE,
    OperationVariant.CHARGE,
    OperationVariant.REFUND,
)


def _two_decimals(world: CheckContext) -> Iterator[tuple[str, tuple[Money, Decimal]]]:
    for label, money in setup.method_currencies(world):
        if exponent(money.currency) == 2:
            for text in _TREACHEROUS:
                yield f"{label}-{text}", (money, Decimal(text))


def _refusable(world: CheckContext) -> Iterator[tuple[str, OperationKind]]:
    for label, kind in operations.kinds(world):
        if kind.way in _REFUSABLE:
            yield label, kind


@check(_two_decimals)
async def cents_are_exact(world: CheckContext, case: tuple[Money, Decimal]) -> None:
    """Amounts that binary fractions cannot hold are booked to the cent."""
    money, amount = case
    call, outcome = await setup.paid(world, money, amount)
    one_fact(outcome, FactKind.PAID, amount)
    booked = await world.bench.booked(call.reference)
    if booked is not None:
        equal(list(booked), [Booking(Movement.CHARGE, amount, money.currency)], "the books")


@check(setup.method_currencies)
async def too_many_decimals_are_refused(world: CheckContext, money: Money) -> None:
    """An amount with more decimals than its currency is InvalidAmount, never rounded or sent."""
    stored = await setup.instrument(world, money)
    step = Decimal(1).scaleb(-exponent(money.currency) - 1)
    call = call_factory.charge(money.role, money.amount + step, money.currency, stored)
    await _refused_unsent(world, world.connection.charge(call), Code.InvalidAmount)


@check(setup.method_currencies)
async def needless_zeros_are_no_decimals(world: CheckContext, money: Money) -> None:
    """`49.9000` is 49.90: zeros at the end neither refuse an amount nor make it another."""
    stored = await setup.instrument(world, money)
    padded = money.amount * Decimal("1.0000")
    call = call_factory.charge(money.role, padded, money.currency, stored)
    outcome = await setup.decided(world, call, await world.connection.charge(call))
    one_fact(outcome, FactKind.PAID, money.amount)


@check(_refusable)
async def an_unknown_currency_is_refused(world: CheckContext, kind: OperationKind) -> None:
    """A currency that ISO 4217 does not know is InvalidCurrency and is not sent."""
    act = await operations.unspent(world, kind)
    unknown = operations.PreparedCall(
        act.way, act.call.model_copy(update={"currency": "ZZZ"}), None
    )
    await _refused_unsent(world, unknown.carry_out(world), Code.InvalidCurrency)


@check(_refusable)
async def a_fraction_of_a_cent_is_refused(world: CheckContext, kind: OperationKind) -> None:
    """Every operation refuses an amount that its currency does not have, and does not send it."""
    act = await operations.unspent(world, kind)
    step = Decimal(1).scaleb(-exponent(act.call.currency) - 1)
    amount = act.call.amount - step
    inexact = operations.PreparedCall(act.way, act.call.model_copy(update={"amount": amount}), None)
    await _refused_unsent(world, inexact.carry_out(world), Code.InvalidAmount)


@check()
async def every_number_of_decimals_is_tried(world: CheckContext) -> None:
    """Currencies with no, two and three decimals were among those of the other checks."""
    tried = {
        exponent(currency)
        for role in world.sheet.methods
        for currency in world.bench.currencies(role)
    }
    missing = {0, 2, 3} - tried
    if missing:
        numbers = ", ".join(map(str, sorted(missing)))
        raise NotApplicable(f"the bench names no currency with {numbers} decimals")


async def _refused_unsent(world: CheckContext, call: Awaitable[Outcome], code: Code) -> None:
    world.wire.seen.clear()
    declined(await call, code)
    require(not world.wire.writes, "It was sent to the PSP.")
