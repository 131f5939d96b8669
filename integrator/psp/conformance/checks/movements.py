"""Movements: whose they are, what they amount to, and what does not decide about that."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from integrator.psp.conformance import call_factory, setup
from integrator.psp.conformance.assertions import (
    describe,
    facts_of,
    require,
    require_approved,
    require_equal,
)
from integrator.psp.conformance.checks.lists import list_movements
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.distortions import distorted_responses
from integrator.psp.conformance.harness import Distortion, Script
from integrator.psp.conformance.registry import Cases, check
from integrator.psp.conformance.results import NotApplicable, Violation
from integrator.psp.conformance.setup import MethodCurrency
from integrator.psp.errors import OutcomeUnknown
from integrator.psp.lookup_result import LookupResult
from integrator.psp.types import Charge, Fact, FactKind, Outcome, Refund

Case = tuple[MethodCurrency, Distortion]
Movements = set[tuple[FactKind, str, Decimal]]

_FOREIGN_CHARGEBACKS = (
    Distortion.CHARGEBACK_CURRENCY,
    Distortion.CHARGEBACK_PARENT,
    Distortion.CHARGEBACK_SIGN,
)
_FOREIGN_REFUNDS = (
    Distortion.REFUND_CURRENCY,
    Distortion.REFUND_PARENT,
    Distortion.REFUND_REFERENCE,
    Distortion.REFUND_SIGN,
)
_RETURNS = (Distortion.CHARGEBACK_RETURNED, Distortion.CHARGEBACK_PART_RETURNED)
_RETURNED_PART = Decimal(1)
_LISTED = (
    *_RETURNS,
    Distortion.CHARGEBACK_CLAIM,
    Distortion.CHARGEBACK_BOOKKEEPING,
    Distortion.CHARGEBACK_NULLS,
    Distortion.PAYMENT_BOOKKEEPING,
    Distortion.PAYMENT_NULLS,
)


def _distortion_cases(*distortions: Distortion, refunds: bool = False) -> Cases:
    def cases(context: CheckContext) -> Iterator[tuple[str, Case]]:
        if not context.capabilities.can_read or (refunds and not context.capabilities.refunds):
            return
        for label, method in setup.each_method(context):
            for distortion in distortions:
                yield f"{label}-{distortion.value}", (method, distortion)

    return cases


@check(_distortion_cases(*_FOREIGN_CHARGEBACKS))
async def another_payments_chargeback_is_not_booked(context: CheckContext, case: Case) -> None:
    """A chargeback in another currency, of another payment or with the wrong sign is not booked.

    The look-up raises OutcomeUnknown, leaves it out, or the fact says whose it is.
    """
    method, distortion = case
    call, psp_id = await _charged_back_payment(context, method)
    with distorted_responses(context, distortion):
        result = await _look_up(context, call, psp_id)
    for fact in facts_of(result.outcome if result else None):
        if fact.kind is FactKind.CHARGED_BACK and fact.amount > 0:
            require(
                _names_another(fact, call, psp_id),
                f"The chargeback counts as this payment's: {fact.amount} {call.currency}",
            )


@check(_distortion_cases(*_FOREIGN_REFUNDS, refunds=True))
async def another_payments_refund_is_not_booked(context: CheckContext, case: Case) -> None:
    """A refund in another currency, of another payment or transaction is neither booked nor failed.

    The look-up raises OutcomeUnknown, or the fact says whose it is.
    """
    method, distortion = case
    call, psp_id = await _refund(context, method)
    # By our reference, a refund with another reference is not found, and rightly so.
    for found_by in (psp_id,) if distortion is Distortion.REFUND_REFERENCE else (psp_id, None):
        with distorted_responses(context, distortion):
            result = await _look_up(context, call, found_by)
        if result is None:
            continue
        require(
            not result.absence_proven and getattr(result.outcome, "outcome", "") != "declined",
            f"The refund counts as not made: {describe(result.outcome)}",
        )
        for fact in facts_of(result.outcome):
            require(
                _names_another(fact, call, call.payment_psp_id),
                f"The refund counts as this transaction's: {fact.amount} {call.currency}",
            )


@check(_distortion_cases(Distortion.CHARGEBACK_CLAIM))
async def a_chargeback_amounts_to_what_was_withdrawn(context: CheckContext, case: Case) -> None:
    """The amount of a chargeback is what was withdrawn, not what the payer claims."""
    method, distortion = case
    await _require_unchanged(context, *await _charged_back_payment(context, method), distortion)


@check(_distortion_cases(*_RETURNS))
async def a_returned_chargeback_is_a_fact_of_its_own(context: CheckContext, case: Case) -> None:
    """Money of a chargeback that came back is a movement with its own id; the chargeback stays."""
    method, distortion = case
    call, psp_id = await _charged_back_payment(context, method)
    before = _movements(await _require_found(context, call, psp_id))
    with distorted_responses(context, distortion):
        outcome = await _require_found(context, call, psp_id)
    after = _movements(outcome)
    require(before <= after, f"The chargeback has changed: {describe(outcome)}")
    returned = [fact for fact in facts_of(outcome) if fact.kind is FactKind.CHARGEBACK_REVERSED]
    is_all = distortion is Distortion.CHARGEBACK_RETURNED
    require_equal(
        sum(fact.amount for fact in returned),
        call.amount if is_all else _RETURNED_PART,
        "the amount that came back",
    )
    ids = [id for _, id, _ in after]
    require_equal(len(set(ids)), len(ids), "the number of different ids")


@check(_distortion_cases(*_LISTED))
async def a_list_contradicts_no_look_up(context: CheckContext, case: Case) -> None:
    """The list of movements reads an unusual payment as a look-up does; it may show less."""
    if not context.capabilities.movement_list:
        raise NotApplicable("the PSP lists no movements (movement_list)")
    method, distortion = case
    call, psp_id = await _charged_back_payment(context, method)
    since = call_factory.lookup(call).created_at or datetime.now(UTC)
    until = datetime.now(UTC) + timedelta(seconds=2)
    with distorted_responses(context, distortion):
        expected = _movements(await _require_found(context, call, psp_id))
        listed = await list_movements(context, since - timedelta(seconds=2), until)
    found = [_movements(one.outcome) for one in listed if one.psp_id == psp_id]
    require(found, "The payment is not listed.")
    require_equal(set().union(*found) - expected, set(), "what no look-up shows")


@check(_distortion_cases(Distortion.PAYMENT_BOOKKEEPING, Distortion.PAYMENT_NULLS))
async def a_payment_is_read_without_its_bookkeeping(context: CheckContext, case: Case) -> None:
    """Fees, dates and texts of any size, sign or type, or null, do not decide about a payment."""
    method, distortion = case
    call, outcome = await setup.shared_payment(context, method)
    await _require_unchanged(context, call, setup.require_psp_id(outcome), distortion)


@check(_distortion_cases(Distortion.REFUND_BOOKKEEPING, Distortion.REFUND_NULLS, refunds=True))
async def a_refund_is_read_without_its_bookkeeping(context: CheckContext, case: Case) -> None:
    """Fees, dates and texts of any size, sign or type, or null, do not decide about a refund."""
    method, distortion = case
    await _require_unchanged(context, *await _refund(context, method), distortion)


@check(_distortion_cases(Distortion.CHARGEBACK_BOOKKEEPING, Distortion.CHARGEBACK_NULLS))
async def a_chargeback_is_read_without_its_bookkeeping(context: CheckContext, case: Case) -> None:
    """Fees, dates and texts of any size, sign or type, or null, do not hide a chargeback."""
    method, distortion = case
    await _require_unchanged(context, *await _charged_back_payment(context, method), distortion)


async def _require_unchanged(
    context: CheckContext, call: Charge | Refund, psp_id: str, distortion: Distortion
) -> None:
    expected = _movements(await _require_found(context, call, psp_id))
    with distorted_responses(context, distortion):
        outcome = await _require_found(context, call, psp_id)
    require_equal(_movements(outcome), expected, "the movements")


async def _require_found(context: CheckContext, call: Charge | Refund, psp_id: str) -> Outcome:
    try:
        outcome = await setup.fetch_outcome(context, call, psp_id)
    except OutcomeUnknown as error:
        raise Violation(f"The object cannot be read: {error}") from error
    if outcome is None:
        raise Violation("The object is not found.")
    return outcome


async def _look_up(
    context: CheckContext, call: Charge | Refund, psp_id: str | None
) -> LookupResult | None:
    """Return the result of a look-up; None if it raised `OutcomeUnknown`."""
    try:
        return await setup.look_up(context, call, call_factory.lookup(call, psp_id))
    except OutcomeUnknown:
        return None


def _movements(outcome: Outcome) -> Movements:
    return {(fact.kind, fact.id, fact.amount) for fact in facts_of(outcome)}


def _names_another(fact: Fact, call: Charge | Refund, payment: str) -> bool:
    """Return whether the fact itself says that it is not this transaction's."""
    return (
        fact.currency not in (None, call.currency)
        or fact.reference not in (None, call.reference)
        or fact.parent_psp_id not in (None, payment)
    )


async def _charged_back_payment(
    context: CheckContext, method: MethodCurrency
) -> tuple[Charge, str]:
    """Return a payment whose chargeback a look-up shows, and its id; shared by all checks."""
    return await context.kit_run.get_or_create(
        ("charged back payment", method), lambda: _charge_back(context, method)
    )


async def _refund(context: CheckContext, method: MethodCurrency) -> tuple[Refund, str]:
    """Return a refund that is done, and its id; shared by all checks."""
    return await context.kit_run.get_or_create(
        ("refund", method), lambda: _make_refund(context, method)
    )


async def _charge_back(context: CheckContext, method: MethodCurrency) -> tuple[Charge, str]:
    stored = await setup.stored_instrument(context, method)
    call = call_factory.charge(method.role, method.amount, method.currency, stored)
    scripted_call = await context.harness.script_call(call, Script.CHARGED_BACK)
    if scripted_call is None:
        raise NotApplicable(f"the harness has no chargebacks for {method.role.name}")
    psp_id = setup.require_psp_id(await context.connection.charge(scripted_call))

    async def probe() -> Outcome | None:
        outcome = await setup.fetch_outcome(context, scripted_call, psp_id)
        kinds = {fact.kind for fact in facts_of(outcome)}
        return outcome if FactKind.CHARGED_BACK in kinds else None

    require(await setup.poll(context, probe), "No look-up shows the chargeback.")
    return scripted_call, psp_id


async def _make_refund(context: CheckContext, method: MethodCurrency) -> tuple[Refund, str]:
    _, payment = await setup.make_payment(context, method)
    amount = call_factory.partial_amount(method.amount, method.currency)
    call = call_factory.refund(method.role, amount, method.currency, setup.require_psp_id(payment))
    outcome = await setup.wait_for_outcome(context, call, await context.connection.refund(call))
    return call, setup.require_psp_id(require_approved(outcome))
