"""Reservations on a stored payment method: captured, voided, or declined."""

from collections.abc import Iterator
from decimal import Decimal

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.contract.enums import PaymentTransactionStatus as Status
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
from integrator.psp.types import Approved, Capture, Declined, FactKind, Operation, Pending, Void

_DECLINE_CODES = {
    Script.LACKS_FUNDS: Code.InsufficientBalance,
    Script.EXPIRED_CARD: Code.BearerExpired,
}

_ANY_ID = "any_00000000000000000000"


def _reservable_currencies(context: CheckContext) -> Iterator[tuple[str, MethodCurrency]]:
    yield from setup.method_currencies(context, setup.reservable_roles(context))


def _reservable_methods(context: CheckContext) -> Iterator[tuple[str, MethodCurrency]]:
    yield from setup.each_method(context, setup.reservable_roles(context))


def _voidable_methods(context: CheckContext) -> Iterator[tuple[str, MethodCurrency]]:
    roles = [
        role for role in setup.reservable_roles(context) if context.method_capability(role).cancel
    ]
    yield from setup.each_method(context, roles)


def _methods_without_reservations(context: CheckContext) -> Iterator[tuple[str, MethodCurrency]]:
    roles = [
        role for role in context.capabilities.methods if role not in setup.reservable_roles(context)
    ]
    yield from setup.each_method(context, roles)


def _decline_cases(context: CheckContext) -> Iterator[tuple[str, tuple[MethodCurrency, Script]]]:
    for label, method in _reservable_methods(context):
        for script in _DECLINE_CODES:
            yield f"{label}-{script.value}", (method, script)


@check(_reservable_currencies)
async def a_reservation_holds_the_amount(context: CheckContext, method: MethodCurrency) -> None:
    """A reservation holds the exact amount until its expiry and can be found."""
    call, outcome = await setup.make_reservation(context, method)
    require_single_fact(outcome, FactKind.AUTHORIZED, method.amount)
    bookings = await context.harness.list_bookings(call.reference)
    if bookings is not None:
        expected = [Booking(BookingKind.AUTHORIZE, method.amount, method.currency)]
        require_equal(list(bookings), expected, "the reservation in the ledger")
    for psp_id in (None, setup.require_psp_id(outcome)):
        fetched = require_approved(await setup.fetch_existing(context, call, psp_id))
        require_same_movement(fetched, outcome)


@check(_decline_cases)
async def a_reservation_is_declined(
    context: CheckContext, case: tuple[MethodCurrency, Script]
) -> None:
    """A declined reservation has the contract's code."""
    method, script = case
    stored = await setup.stored_instrument(context, method)
    call = call_factory.reserve(method.role, method.amount, method.currency, stored)
    scripted_call = await context.harness.script_call(call, script)
    if scripted_call is None:
        raise NotApplicable(f"the harness has no script {script.value} for a reservation")
    require_declined(await context.connection.authorize(scripted_call), _DECLINE_CODES[script])


@check(_reservable_methods)
async def a_zero_amount_reserves_nothing(context: CheckContext, method: MethodCurrency) -> None:
    """A preauth of 0 with a stored payment method reserves nothing."""
    stored = await setup.stored_instrument(context, method)
    call = call_factory.reserve(method.role, Decimal(0), method.currency, stored)
    outcome = require_approved(await context.connection.authorize(call))
    require_equal(fact_amounts(outcome), [], "the facts of a preauth of 0")
    require(not await context.harness.list_bookings(call.reference), "The call was booked.")


@check(_reservable_currencies)
async def a_full_capture_succeeds(context: CheckContext, method: MethodCurrency) -> None:
    """A capture takes the exact amount under its own reference and can be found."""
    await _require_capture(context, method, method.amount)


@check(_reservable_currencies)
async def a_partial_capture_succeeds(context: CheckContext, method: MethodCurrency) -> None:
    """A capture takes the requested amount, not the reserved amount."""
    if not context.capabilities.partial_capture:
        raise NotApplicable("the PSP has no partial captures (partial_capture)")
    await _require_capture(
        context, method, call_factory.partial_amount(method.amount, method.currency)
    )


@check(_reservable_methods)
async def a_pending_capture_succeeds_later(context: CheckContext, method: MethodCurrency) -> None:
    """An accepted capture is Pending without a payment, and Approved once it is paid."""
    call = await _script_capture(context, method, Script.PENDING_THEN_DONE)
    first = await context.connection.capture(call)
    require(isinstance(first, Pending), f"Expected Pending, got {first}")
    require(
        FactKind.PAID not in [kind for kind, _ in fact_amounts(first)],
        "A pending capture counts as paid.",
    )
    require_single_fact(
        await setup.wait_for_outcome(context, call, first), FactKind.PAID, call.amount
    )


@check(_reservable_methods)
async def a_pending_capture_fails_later(context: CheckContext, method: MethodCurrency) -> None:
    """A capture that was accepted and failed is a decline without a payment."""
    call = await _script_capture(context, method, Script.PENDING_THEN_FAILED)
    first = await context.connection.capture(call)
    require(isinstance(first, Pending), f"Expected Pending, got {first}")
    outcome = require_declined(await setup.wait_for_outcome(context, call, first))
    require_equal(fact_amounts(outcome), [], "the facts of a failed capture")


@check(_reservable_methods)
async def an_undeclared_partial_capture_is_declined(
    context: CheckContext, method: MethodCurrency
) -> None:
    """Without partial captures, a partial amount is declined rather than everything captured."""
    if context.capabilities.partial_capture:
        raise NotApplicable("the PSP has partial captures (partial_capture)")
    _, reservation = await setup.make_reservation(context, method)
    amount = call_factory.partial_amount(method.amount, method.currency)
    call = call_factory.capture(
        method.role, amount, method.currency, setup.require_psp_id(reservation)
    )
    require_declined(await context.connection.capture(call))
    require(not await context.harness.list_bookings(call.reference), "The call was booked.")


@check(_reservable_methods)
async def an_excessive_capture_is_declined(context: CheckContext, method: MethodCurrency) -> None:
    """A capture of more than is reserved is declined, and nothing is booked."""
    _, reservation = await setup.make_reservation(context, method)
    call = call_factory.capture(
        method.role, method.amount * 3, method.currency, setup.require_psp_id(reservation)
    )
    require_declined(
        await setup.wait_for_outcome(context, call, await context.connection.capture(call))
    )
    require(not await context.harness.list_bookings(call.reference), "The call was booked.")


@check(_reservable_methods)
async def a_capture_of_an_unknown_reservation_is_declined(
    context: CheckContext, method: MethodCurrency
) -> None:
    """A capture of a reservation that does not exist is declined."""
    _, reservation = await setup.make_reservation(context, method)
    call = call_factory.capture(
        method.role, method.amount, method.currency, _unknown_id(reservation)
    )
    require_declined(await context.connection.capture(call))


@check(_reservable_methods)
async def a_second_full_capture_is_declined(context: CheckContext, method: MethodCurrency) -> None:
    """After a full capture, another transaction's capture is declined."""
    _, reservation = await setup.make_reservation(context, method)
    for is_second in (False, True):
        call = call_factory.capture(
            method.role, method.amount, method.currency, setup.require_psp_id(reservation)
        )
        outcome = await setup.wait_for_outcome(
            context, call, await context.connection.capture(call)
        )
        if not is_second:
            require_approved(outcome)
            continue
        require_declined(outcome)
        require(
            not await context.harness.list_bookings(call.reference),
            "The reservation was captured twice.",
        )


@check(_methods_without_reservations)
async def capture_and_void_without_reservations_are_declined(
    context: CheckContext, method: MethodCurrency
) -> None:
    """Payment methods without reservations decline captures and voids and raise nothing."""
    call = call_factory.capture(method.role, method.amount, method.currency, _ANY_ID)
    require_declined(await context.connection.capture(call))
    sign_up_call = call_factory.sign_up(method.role, method.amount, method.currency)
    require_declined(await context.connection.void(call_factory.void(sign_up_call, _ANY_ID)))


@check(_voidable_methods)
async def a_void_releases_the_reservation(context: CheckContext, method: MethodCurrency) -> None:
    """A confirmed void leaves nothing to capture and is no failure of the preauth."""
    call, reservation = await setup.make_reservation(context, method)
    await _require_void(context, call_factory.void(call, setup.require_psp_id(reservation)))
    current = require_declined(await setup.fetch_existing(context, call), status=Status.Cancelled)
    require_equal(fact_amounts(current), [], "the facts after the void")
    late_capture = call_factory.capture(
        method.role, method.amount, method.currency, setup.require_psp_id(reservation)
    )
    require_declined(await context.connection.capture(late_capture))


@check(_voidable_methods)
async def a_void_after_capture_is_declined(context: CheckContext, method: MethodCurrency) -> None:
    """A void after the capture is declined: the amount has been taken."""
    call, reservation = await setup.make_reservation(context, method)
    capture = call_factory.capture(
        method.role, method.amount, method.currency, setup.require_psp_id(reservation)
    )
    require_approved(
        await setup.wait_for_outcome(context, capture, await context.connection.capture(capture))
    )
    outcome = await context.connection.void(
        call_factory.void(call, setup.require_psp_id(reservation))
    )
    require(isinstance(outcome, Declined | Pending), "A void after the capture was approved.")


@check(_voidable_methods)
async def a_void_of_an_unknown_reservation_is_declined(
    context: CheckContext, method: MethodCurrency
) -> None:
    """A void of a reservation that does not exist is declined."""
    call, reservation = await setup.make_reservation(context, method)
    require_declined(
        await context.connection.void(call_factory.void(call, _unknown_id(reservation)))
    )


async def _require_capture(context: CheckContext, method: MethodCurrency, amount: Decimal) -> None:
    _, reservation = await setup.make_reservation(context, method)
    call = call_factory.capture(
        method.role, amount, method.currency, setup.require_psp_id(reservation)
    )
    first = await context.connection.capture(call)
    asynchronous = Operation.CAPTURE in context.capabilities.asynchronous
    require(
        isinstance(first, Pending) is asynchronous,
        f"The capability `asynchronous` does not match the result: {first}",
    )
    outcome = require_approved(await setup.wait_for_outcome(context, call, first))
    require_single_fact(outcome, FactKind.PAID, amount)
    bookings = await context.harness.list_bookings(call.reference)
    if bookings is not None:
        require_equal(
            list(bookings),
            [Booking(BookingKind.CAPTURE, amount, method.currency)],
            "the ledger entries",
        )
    for psp_id in (None, setup.require_psp_id(outcome)):
        fetched = require_approved(await setup.fetch_existing(context, call, psp_id))
        require_same_movement(fetched, outcome)


async def _script_capture(context: CheckContext, method: MethodCurrency, script: Script) -> Capture:
    _, reservation = await setup.make_reservation(context, method)
    call = call_factory.capture(
        method.role, method.amount, method.currency, setup.require_psp_id(reservation)
    )
    scripted_call = await context.harness.script_call(call, script)
    if scripted_call is None:
        raise NotApplicable(f"the harness has no script {script.value} for captures")
    return scripted_call


async def _require_void(context: CheckContext, call: Void) -> None:
    first = await context.connection.void(call)
    if Operation.VOID not in context.capabilities.asynchronous:
        require_approved(first)
        return
    require(
        isinstance(first, Pending),
        f"The capability `asynchronous` does not match the void: {first}",
    )

    async def probe() -> Declined | None:
        fetched = await setup.look_up(context, call, call_factory.lookup(call))
        return fetched.outcome if isinstance(fetched.outcome, Declined) else None

    require(await setup.poll(context, probe), "No look-up shows the void.")


def _unknown_id(outcome: Approved) -> str:
    """Return an id of the same format that belongs to no object."""
    return setup.change_id(setup.require_psp_id(outcome))
