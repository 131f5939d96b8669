"""Refunds: full, partial, declined and decided later."""

from collections.abc import Iterator
from decimal import Decimal

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.psp.conformance import call_factory, setup
from integrator.psp.conformance.assertions import (
    fact_amounts,
    require,
    require_approved,
    require_declined,
    require_equal,
    require_same_movement,
    require_single_fact,
)
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.harness import Booking, BookingKind, Script
from integrator.psp.conformance.registry import check
from integrator.psp.conformance.results import NotApplicable
from integrator.psp.conformance.setup import MethodCurrency
from integrator.psp.types import Declined, FactKind, Operation, Outcome, Pending, Refund


def _refundable_currencies(context: CheckContext) -> Iterator[tuple[str, MethodCurrency]]:
    yield from setup.method_currencies(
        context, context.capabilities.methods if context.capabilities.refunds else ()
    )


def _refundable_methods(context: CheckContext) -> Iterator[tuple[str, MethodCurrency]]:
    yield from setup.each_method(
        context, context.capabilities.methods if context.capabilities.refunds else ()
    )


def _methods_without_refunds(context: CheckContext) -> Iterator[tuple[str, MethodCurrency]]:
    yield from setup.each_method(
        context, () if context.capabilities.refunds else context.capabilities.methods
    )


@check(_refundable_currencies)
async def a_full_refund_succeeds(context: CheckContext, method: MethodCurrency) -> None:
    """A refund returns the exact amount under its own reference and can be found."""
    await _require_refund(context, method, method.amount)


@check(_refundable_currencies)
async def a_partial_refund_succeeds(context: CheckContext, method: MethodCurrency) -> None:
    """A refund returns the requested amount, not the amount paid."""
    await _require_refund(
        context, method, call_factory.partial_amount(method.amount, method.currency)
    )


@check(_refundable_methods)
async def two_partial_refunds_are_separate(context: CheckContext, method: MethodCurrency) -> None:
    """Two refunds of the same amount, for two transactions, are two movements."""
    payment_call, payment = await setup.make_payment(context, method)
    amount = call_factory.partial_amount(method.amount, method.currency)
    ids = set()
    for _ in range(2):
        call = call_factory.refund(
            method.role, amount, method.currency, setup.require_psp_id(payment)
        )
        first = await context.connection.refund(call)
        outcome = require_approved(await setup.wait_for_outcome(context, call, first))
        require_single_fact(outcome, FactKind.REFUNDED, amount)
        ids |= {fact.id for fact in outcome.facts}
        bookings = await context.harness.list_bookings(call.reference)
        require(bookings is None or len(bookings) == 1, "The PSP did not book each refund once.")
    require_equal(len(ids), 2, "the number of facts")
    fetched = require_approved(
        await setup.fetch_existing(context, payment_call, setup.require_psp_id(payment))
    )
    payment_facts = [fact for fact in fetched.facts if fact.kind is FactKind.PAID]
    require_equal(
        [fact.amount for fact in payment_facts], [method.amount], "the payment after its refunds"
    )


@check(_refundable_methods)
async def an_excessive_refund_is_declined(context: CheckContext, method: MethodCurrency) -> None:
    """A refund of more than was paid is declined, and nothing is booked."""
    _, payment = await setup.make_payment(context, method)
    call = call_factory.refund(
        method.role, method.amount * 3, method.currency, setup.require_psp_id(payment)
    )
    require_declined(
        await setup.wait_for_outcome(context, call, await context.connection.refund(call))
    )
    require(
        not await context.harness.list_bookings(call.reference), "The declined call was booked."
    )


@check(_refundable_methods)
async def a_second_full_refund_is_declined(context: CheckContext, method: MethodCurrency) -> None:
    """After a full refund, another transaction's refund is declined."""
    _, payment = await setup.make_payment(context, method)
    for is_second in (False, True):
        call = call_factory.refund(
            method.role, method.amount, method.currency, setup.require_psp_id(payment)
        )
        outcome = await setup.wait_for_outcome(context, call, await context.connection.refund(call))
        if not is_second:
            require_approved(outcome)
            continue
        require_declined(outcome)
        require(
            not await context.harness.list_bookings(call.reference),
            "The payment was refunded twice.",
        )


@check(_refundable_methods)
async def a_refund_of_an_unknown_payment_is_declined(
    context: CheckContext, method: MethodCurrency
) -> None:
    """A refund of a payment that does not exist is declined."""
    _, payment = await setup.make_payment(context, method)
    psp_id = setup.require_psp_id(payment)
    unknown_id = psp_id[:-4] + psp_id[-4:].swapcase()[::-1] + "0"
    call = call_factory.refund(method.role, method.amount, method.currency, unknown_id)
    require_declined(await context.connection.refund(call))


@check(_refundable_methods)
async def a_refund_without_balance_is_declined(
    context: CheckContext, method: MethodCurrency
) -> None:
    """A refund that exceeds the merchant's balance is InsufficientBalance."""
    call = await _script_refund(context, method, Script.LACKS_FUNDS)
    outcome = await setup.wait_for_outcome(context, call, await context.connection.refund(call))
    require_declined(outcome, Code.InsufficientBalance)


@check(_refundable_methods)
async def a_pending_refund_succeeds_later(context: CheckContext, method: MethodCurrency) -> None:
    """An accepted refund is Pending without a movement, and Approved once it is done."""
    call = await _script_refund(context, method, Script.PENDING_THEN_DONE)
    first = await _refund_pending(context, call)
    require_single_fact(
        await setup.wait_for_outcome(context, call, first), FactKind.REFUNDED, call.amount
    )


@check(_refundable_methods)
async def a_pending_refund_fails_later(context: CheckContext, method: MethodCurrency) -> None:
    """A refund that was accepted and failed has returned nothing."""
    call = await _script_refund(context, method, Script.PENDING_THEN_FAILED)
    first = await _refund_pending(context, call)
    outcome = await setup.wait_for_outcome(context, call, first)
    require(isinstance(outcome, Declined), f"Expected Declined, got {outcome}")
    refunded = sum(
        (
            amount if kind is FactKind.REFUNDED else -amount
            for kind, amount in fact_amounts(outcome)
        ),
        Decimal(0),
    )
    require_equal(refunded, Decimal(0), "the sum of a failed refund's facts")


@check(_methods_without_refunds)
async def undeclared_refunds_are_declined(context: CheckContext, method: MethodCurrency) -> None:
    """An adapter without refunds declines them without a request to the PSP."""
    call = call_factory.refund(method.role, method.amount, method.currency, "any_0000000000")
    require_declined(await context.connection.refund(call))
    require(not context.transport.write_requests, "A request was sent to the PSP.")


async def _require_refund(context: CheckContext, method: MethodCurrency, amount: Decimal) -> None:
    _, payment = await setup.make_payment(context, method)
    call = call_factory.refund(method.role, amount, method.currency, setup.require_psp_id(payment))
    first = await context.connection.refund(call)
    if Operation.REFUND in context.capabilities.asynchronous:
        require(
            isinstance(first, Pending),
            f"The capability `asynchronous` does not match the result: {first}",
        )
    outcome = require_approved(await setup.wait_for_outcome(context, call, first))
    require_single_fact(outcome, FactKind.REFUNDED, amount)
    bookings = await context.harness.list_bookings(call.reference)
    if bookings is not None:
        require_equal(
            list(bookings),
            [Booking(BookingKind.REFUND, amount, method.currency)],
            "the ledger entries",
        )
    for psp_id in (None, setup.require_psp_id(outcome)):
        fetched = require_approved(await setup.fetch_existing(context, call, psp_id))
        require_same_movement(fetched, outcome)


async def _refund_pending(context: CheckContext, call: Refund) -> Outcome:
    first = await context.connection.refund(call)
    require(isinstance(first, Pending), f"Expected Pending, got {first}")
    return first


async def _script_refund(context: CheckContext, method: MethodCurrency, script: Script) -> Refund:
    _, payment = await setup.make_payment(context, method)
    call = call_factory.refund(
        method.role, method.amount, method.currency, setup.require_psp_id(payment)
    )
    scripted_call = await context.harness.script_call(call, script)
    if scripted_call is None:
        raise NotApplicable(f"the harness has no script {script.value} for refunds")
    return scripted_call
