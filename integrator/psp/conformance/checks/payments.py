"""Payments with a stored payment method, and their later outcomes."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from integrator.contract.enums import PaymentErrorCode as Code
from integrator.psp.conformance import call_factory, setup
from integrator.psp.conformance.assertions import (
    fact_amounts,
    facts_of,
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
from integrator.psp.types import Charge, Fact, FactKind, Instrument, Outcome, Pending

_DECLINE_CODES = {
    Script.LACKS_FUNDS: Code.InsufficientBalance,
    Script.EXPIRED_CARD: Code.BearerExpired,
}


def _decline_cases(context: CheckContext) -> Iterator[tuple[str, tuple[MethodCurrency, Script]]]:
    for label, method in setup.each_method(context):
        for script in _DECLINE_CODES:
            yield f"{label}-{script.value}", (method, script)


def _date_cases(context: CheckContext) -> Iterator[tuple[str, tuple[MethodCurrency, int]]]:
    for label, method in setup.each_method(context):
        window = context.method_capability(method.role).debit_date_window
        if window is not None:
            for days_ahead in sorted({0, window.earliest_days, window.latest_days}):
                yield f"{label}-{days_ahead}", (method, days_ahead)


@check(setup.method_currencies)
async def a_payment_is_charged(context: CheckContext, method: MethodCurrency) -> None:
    """A charge takes the exact amount once and is found by id and by reference."""
    call, outcome = await setup.make_payment(context, method)
    require_single_fact(outcome, FactKind.PAID, method.amount)
    bookings = await context.harness.list_bookings(call.reference)
    if bookings is not None:
        require_equal(
            list(bookings),
            [Booking(BookingKind.CHARGE, method.amount, method.currency)],
            "the ledger entries",
        )
    for psp_id in (None, setup.require_psp_id(outcome)):
        fetched = require_approved(await setup.fetch_existing(context, call, psp_id))
        require_same_movement(fetched, outcome)


@check(_date_cases)
async def a_debit_date_within_the_window_is_accepted(
    context: CheckContext, case: tuple[MethodCurrency, int]
) -> None:
    """At both ends of the declared window a debit's date is accepted, and so is one too near."""
    method, days_ahead = case
    stored = await setup.stored_instrument(context, method)
    call = call_factory.charge(method.role, method.amount, method.currency, stored)
    execute_on = (datetime.now(UTC) + timedelta(days=days_ahead)).date()
    dated = call.model_copy(update={"execute_on": execute_on})
    require_approved_or_pending(await context.connection.charge(dated))


@check(_decline_cases)
async def a_payment_is_declined(context: CheckContext, case: tuple[MethodCurrency, Script]) -> None:
    """A declined charge has the contract's code, and nothing is booked."""
    method, script = case
    call = await _script_charge(context, method, script)
    outcome = await setup.wait_for_outcome(context, call, await context.connection.charge(call))
    require_declined(outcome, _DECLINE_CODES[script])
    require(
        not await context.harness.list_bookings(call.reference), "The declined call was booked."
    )


@check(setup.each_method)
async def a_pending_payment_succeeds_later(context: CheckContext, method: MethodCurrency) -> None:
    """An accepted charge is Pending without a payment, and Approved once it is paid."""
    call = await _script_charge(context, method, Script.PENDING_THEN_DONE)
    first = await context.connection.charge(call)
    require(isinstance(first, Pending), f"Expected Pending, got {first}")
    require(
        FactKind.PAID not in [fact.kind for fact in facts_of(first)],
        "A pending payment counts as paid.",
    )
    require_single_fact(
        await setup.wait_for_outcome(context, call, first), FactKind.PAID, call.amount
    )


@check(setup.each_method)
async def a_pending_payment_fails_later(context: CheckContext, method: MethodCurrency) -> None:
    """A payment that was pending and failed is a decline without a payment."""
    call = await _script_charge(context, method, Script.PENDING_THEN_FAILED)
    first = await context.connection.charge(call)
    require(isinstance(first, Pending), f"Expected Pending, got {first}")
    outcome = require_declined(await setup.wait_for_outcome(context, call, first))
    require_equal(fact_amounts(outcome), [], "the facts of a failed payment")


@check(setup.each_method)
async def a_payment_is_charged_back(context: CheckContext, method: MethodCurrency) -> None:
    """A chargeback is a fact of its own beside the payment, with its own id and exact amount."""
    call = await _script_charge(context, method, Script.CHARGED_BACK)
    first = await context.connection.charge(call)

    async def probe() -> Fact | None:
        fetched = await setup.fetch_existing(context, call)
        return next((f for f in facts_of(fetched) if f.kind is FactKind.CHARGED_BACK), None)

    chargeback = await setup.poll(context, probe)
    if chargeback is None:
        require(False, "No look-up shows the chargeback.")
        return
    require_equal(chargeback.amount, call.amount, "the amount charged back")
    current = await setup.fetch_existing(context, call)
    payments = [fact for fact in facts_of(current) if fact.kind is FactKind.PAID]
    require_equal(
        [fact.amount for fact in payments], [call.amount], "what was paid, after a chargeback"
    )
    require(chargeback.id not in [fact.id for fact in payments], "Both facts have the same id.")
    require(chargeback.reason is not None, "The chargeback has no reason; use Unknown.")
    require_approved_or_pending(first)


@check(setup.each_method)
async def an_unknown_payment_method_is_declined(
    context: CheckContext, method: MethodCurrency
) -> None:
    """A charge with a payment method that the PSP does not have is declined."""
    stored = await setup.stored_instrument(context, method)
    unknown_token = {key: f"{value[:4]}gone0000" for key, value in stored.token.items()}
    call = call_factory.charge(
        method.role,
        method.amount,
        method.currency,
        Instrument(token=unknown_token, bearer=stored.bearer),
    )
    require_declined(await context.connection.charge(call))


@check(setup.each_method)
async def a_missing_payment_method_is_declined(
    context: CheckContext, method: MethodCurrency
) -> None:
    """A charge without a payment method is declined without a request to the PSP."""
    empty_instrument = Instrument(token={}, bearer={})
    call = call_factory.charge(method.role, method.amount, method.currency, empty_instrument)
    require_declined(await context.connection.charge(call))
    require(not context.transport.write_requests, "A request was sent to the PSP.")


@check(setup.each_method)
async def equal_payments_are_separate(context: CheckContext, method: MethodCurrency) -> None:
    """Another transaction of the same amount is another payment."""
    (first, first_outcome), (second, second_outcome) = (
        await setup.make_payment(context, method),
        await setup.make_payment(context, method),
    )
    require(
        setup.require_psp_id(first_outcome) != setup.require_psp_id(second_outcome),
        "Two payments have the same id.",
    )
    ids = {fact.id for outcome in (first_outcome, second_outcome) for fact in outcome.facts}
    require_equal(len(ids), 2, "the number of facts")
    for call in (first, second):
        bookings = await context.harness.list_bookings(call.reference)
        require(bookings is None or len(bookings) == 1, "The PSP did not book each payment once.")


def require_approved_or_pending(outcome: Outcome) -> None:
    """Require that a payment that was charged back had not failed before."""
    require(
        outcome.outcome in ("approved", "pending"), f"Expected approved or pending, got {outcome}"
    )


async def _script_charge(context: CheckContext, method: MethodCurrency, script: Script) -> Charge:
    stored = await setup.stored_instrument(context, method)
    call = call_factory.charge(method.role, method.amount, method.currency, stored)
    scripted_call = await context.harness.script_call(call, script)
    if scripted_call is None:
        raise NotApplicable(f"the harness has no script {script.value} for {method.role.name}")
    return scripted_call
