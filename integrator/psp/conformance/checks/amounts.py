"""Amounts: exact in every currency, refused where the currency does not have them."""

from collections.abc import Awaitable, Iterator
from decimal import Decimal

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.money import exponent
from integrator.psp.conformance import call_factory, operations, setup
from integrator.psp.conformance.assertions import (
    require,
    require_declined,
    require_equal,
    require_single_fact,
)
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.harness import Booking, BookingKind
from integrator.psp.conformance.operations import OperationKind, OperationVariant
from integrator.psp.conformance.registry import check
from integrator.psp.conformance.results import NotApplicable
from integrator.psp.conformance.setup import MethodCurrency
from integrator.psp.types import FactKind, Outcome

# Binary fractions cannot represent them: 4.35 * 100 is 434.99999999999994.
_INEXACT_AS_FLOAT = ("1.15", "4.35", "19.99", "33.33")
_AMOUNT_OPERATIONS = (
    OperationVariant.CHECKOUT,
    OperationVariant.RESERVE,
    OperationVariant.CAPTURE,
    OperationVariant.CHARGE,
    OperationVariant.REFUND,
)


def _inexact_amounts(context: CheckContext) -> Iterator[tuple[str, tuple[MethodCurrency, Decimal]]]:
    for label, method in setup.method_currencies(context):
        if exponent(method.currency) == 2:
            for text in _INEXACT_AS_FLOAT:
                yield f"{label}-{text}", (method, Decimal(text))


def _amount_operations(context: CheckContext) -> Iterator[tuple[str, OperationKind]]:
    for label, kind in operations.kinds(context):
        if kind.variant in _AMOUNT_OPERATIONS:
            yield label, kind


@check(_inexact_amounts)
async def cents_are_exact(context: CheckContext, case: tuple[MethodCurrency, Decimal]) -> None:
    """Amounts that binary fractions cannot represent are booked to the cent."""
    method, amount = case
    call, outcome = await setup.make_payment(context, method, amount)
    require_single_fact(outcome, FactKind.PAID, amount)
    bookings = await context.harness.list_bookings(call.reference)
    if bookings is not None:
        require_equal(
            list(bookings),
            [Booking(BookingKind.CHARGE, amount, method.currency)],
            "the ledger entries",
        )


@check(setup.method_currencies)
async def too_many_decimals_are_refused(context: CheckContext, method: MethodCurrency) -> None:
    """An amount with more decimals than its currency is InvalidAmount, never rounded or sent."""
    stored = await setup.stored_instrument(context, method)
    step = Decimal(1).scaleb(-exponent(method.currency) - 1)
    call = call_factory.charge(method.role, method.amount + step, method.currency, stored)
    await _require_refused_unsent(context, context.connection.charge(call), Code.InvalidAmount)


@check(setup.method_currencies)
async def trailing_zeros_are_accepted(context: CheckContext, method: MethodCurrency) -> None:
    """`49.9000` is 49.90: trailing zeros neither refuse an amount nor change it."""
    stored = await setup.stored_instrument(context, method)
    padded = method.amount * Decimal("1.0000")
    call = call_factory.charge(method.role, padded, method.currency, stored)
    outcome = await setup.wait_for_outcome(context, call, await context.connection.charge(call))
    require_single_fact(outcome, FactKind.PAID, method.amount)


@check(_amount_operations)
async def an_unknown_currency_is_refused(context: CheckContext, kind: OperationKind) -> None:
    """A currency that ISO 4217 does not know is InvalidCurrency and is not sent."""
    prepared = await operations.prepare_unsent(context, kind)
    unknown = operations.PreparedCall(
        prepared.variant, prepared.call.model_copy(update={"currency": "ZZZ"}), None
    )
    await _require_refused_unsent(context, unknown.execute(context), Code.InvalidCurrency)


@check(_amount_operations)
async def a_fraction_of_a_cent_is_refused(context: CheckContext, kind: OperationKind) -> None:
    """Every operation refuses an amount with too many decimals and does not send it."""
    prepared = await operations.prepare_unsent(context, kind)
    step = Decimal(1).scaleb(-exponent(prepared.call.currency) - 1)
    amount = prepared.call.amount - step
    inexact = operations.PreparedCall(
        prepared.variant, prepared.call.model_copy(update={"amount": amount}), None
    )
    await _require_refused_unsent(context, inexact.execute(context), Code.InvalidAmount)


@check()
async def every_number_of_decimals_is_covered(context: CheckContext) -> None:
    """The other checks use currencies with no, two and three decimals."""
    covered = {
        exponent(currency)
        for role in context.capabilities.methods
        for currency in context.harness.currencies(role)
    }
    missing = {0, 2, 3} - covered
    if missing:
        numbers = ", ".join(map(str, sorted(missing)))
        raise NotApplicable(f"the harness names no currency with {numbers} decimals")


async def _require_refused_unsent(
    context: CheckContext, call: Awaitable[Outcome], code: Code
) -> None:
    context.transport.requests.clear()
    require_declined(await call, code)
    require(not context.transport.write_requests, "The refused call was sent to the PSP.")
