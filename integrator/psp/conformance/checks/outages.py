"""Interrupted calls: the outcome is unknown, the call is repeated, and money moves once."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from integrator.psp.conformance import fault_transport, operations, setup
from integrator.psp.conformance.assertions import (
    describe,
    require,
    require_equal,
    require_raises,
    require_same_movement,
)
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.fault_transport import Effect, Fault
from integrator.psp.conformance.harness import ErrorCase
from integrator.psp.conformance.operations import OperationKind, OperationVariant, PreparedCall
from integrator.psp.conformance.registry import check
from integrator.psp.conformance.results import NotApplicable, Violation
from integrator.psp.conformance.setup import MethodCurrency
from integrator.psp.errors import (
    CredentialsRejected,
    OutcomeUnknown,
    PspError,
    PspTimeout,
    PspUnavailable,
)
from integrator.psp.types import Declined, IdempotencyMode, Outcome

_MAX_REPETITIONS = 4
_MAX_REQUESTS = 12


@dataclass(frozen=True)
class Interruption:
    """A way for a request to be interrupted, and the error the adapter must raise."""

    label: str
    effect: Callable[[], Effect]
    error: type[PspError]


_INTERRUPTIONS = (
    Interruption("unreachable", fault_transport.connection_refused, PspUnavailable),
    Interruption(
        "reset-before",
        lambda: fault_transport.connection_reset(after_booking=False),
        OutcomeUnknown,
    ),
    Interruption(
        "reset-after", lambda: fault_transport.connection_reset(after_booking=True), OutcomeUnknown
    ),
    Interruption(
        "timeout-before", lambda: fault_transport.timeout(after_booking=False), PspTimeout
    ),
    Interruption("timeout-after", lambda: fault_transport.timeout(after_booking=True), PspTimeout),
    Interruption(
        "502-before",
        lambda: fault_transport.respond_with(fault_transport.html_page(502)),
        OutcomeUnknown,
    ),
    Interruption(
        "500-after",
        lambda: fault_transport.respond_with(fault_transport.html_page(500), after_booking=True),
        OutcomeUnknown,
    ),
    Interruption(
        "malformed-after",
        lambda: fault_transport.alter_response(lambda body: body[: len(body) // 2]),
        OutcomeUnknown,
    ),
)


def _interruption_cases(
    context: CheckContext,
) -> Iterator[tuple[str, tuple[OperationKind, Interruption]]]:
    for label, kind in operations.kinds(context):
        for interruption in _INTERRUPTIONS:
            yield f"{label}-{interruption.label}", (kind, interruption)


def _look_up_cases(
    context: CheckContext,
) -> Iterator[tuple[str, tuple[MethodCurrency, Interruption]]]:
    if context.capabilities.can_read:
        for label, method in setup.each_method(context):
            for interruption in _INTERRUPTIONS:
                yield f"{label}-{interruption.label}", (method, interruption)


@check(_interruption_cases)
async def an_interrupted_call_moves_money_once(
    context: CheckContext, case: tuple[OperationKind, Interruption]
) -> None:
    """Whichever of its requests is interrupted, the call raises; repeated, it is booked once."""
    kind, interruption = case
    for position in range(_MAX_REQUESTS):
        prepared = await operations.prepare(context, kind)
        with context.transport.inject(Fault(interruption.effect(), skip=position)) as fault:
            # The first request fails in its own way; later ones may follow others that took effect.
            errors = (interruption.error,) if position == 0 else (OutcomeUnknown, PspUnavailable)
            result = await _execute_interrupted(prepared.execute(context), errors)
        if not fault.hits:
            require(position > 0, "The operation sends no write request.")
            return
        await _require_recovery(context, prepared, result)
    raise Violation(f"The operation makes more than {_MAX_REQUESTS} requests.")


@check(_look_up_cases)
async def an_interrupted_look_up_has_no_result(
    context: CheckContext, case: tuple[MethodCurrency, Interruption]
) -> None:
    """An interrupted look-up raises: it is neither an outcome nor "not found".

    Only if the same object can be found by other requests, it may be.
    """
    method, interruption = case
    call, outcome = await setup.shared_payment(context, method)
    for psp_id in (None, setup.require_psp_id(outcome)):
        with context.transport.inject(Fault(interruption.effect(), writes_only=False)) as fault:
            try:
                found = await setup.fetch_outcome(context, call, psp_id)
            except interruption.error as error:
                require(not isinstance(error, CredentialsRejected), f"Got {error!r}")
            else:
                require_same_movement(found, outcome)
            require(fault.hits, "The look-up made no request.")


@check(operations.kinds)
async def a_psp_error_leaves_the_outcome_unknown(
    context: CheckContext, kind: OperationKind
) -> None:
    """The PSP's own 5xx is OutcomeUnknown: it may have booked."""
    response = context.harness.error_response(ErrorCase.FAILED)
    if response is None:
        raise NotApplicable("the harness has no error response for a failure of the PSP")
    prepared = await operations.prepare(context, kind)
    with context.transport.inject(
        Fault(fault_transport.respond_with(response, after_booking=True))
    ):
        first = await _execute_interrupted(prepared.execute(context), (OutcomeUnknown,))
    await _require_recovery(context, prepared, first)


@check(operations.kinds)
async def an_unsent_call_is_not_found(context: CheckContext, kind: OperationKind) -> None:
    """A call that never reached the PSP is None in a look-up, and no decline."""
    if kind.variant is OperationVariant.VOID or not context.capabilities.can_read:
        raise NotApplicable("there is nothing to look up")
    prepared = await operations.prepare(context, kind)
    with context.transport.inject(Fault(fault_transport.connection_refused(), times=_MAX_REQUESTS)):
        await require_raises(prepared.execute(context), PspUnavailable)
    require_equal(await prepared.look_up(context), None, "the look-up of a call that never arrived")


async def _execute_interrupted(
    call: Awaitable[Outcome], errors: tuple[type[PspError], ...]
) -> Outcome | None:
    """Return the outcome of an adapter that recovers by itself; None after a given error."""
    try:
        outcome = await call
    except errors as error:
        require(not isinstance(error, CredentialsRejected), "An outage became CredentialsRejected.")
        return None
    except PspError as error:
        names = " or ".join(kind.__name__ for kind in errors)
        text = f"Expected {names}, got {type(error).__name__}: {error}"
        raise Violation(text) from error
    _require_not_declined(outcome)
    return outcome


async def _require_recovery(
    context: CheckContext, prepared: PreparedCall, result: Outcome | None
) -> None:
    """Repeat until there is a result, like the workflow, then count the bookings."""
    if context.capabilities.idempotency.style is IdempotencyMode.NONE:
        await _require_at_most_one_booking(context, prepared)
        return
    context.reconnect()
    for _ in range(_MAX_REPETITIONS):
        if result is not None:
            break
        try:
            result = await prepared.execute(context)
        except (OutcomeUnknown, PspUnavailable):
            continue
        _require_not_declined(result)
    await _require_at_most_one_booking(context, prepared)
    booking_count = await prepared.count_bookings(context)
    if booking_count is not None:
        require_equal(booking_count, 1, "the number of bookings at the PSP")


async def _require_at_most_one_booking(context: CheckContext, prepared: PreparedCall) -> None:
    """Require at most one booking, whether or not the call was repeated."""
    await setup.wait_until_booked(context, prepared.call)
    booking_count = await prepared.count_bookings(context)
    if booking_count is not None:
        require(booking_count <= 1, f"The PSP has booked the call {booking_count} times.")


def _require_not_declined(outcome: Outcome) -> None:
    require(not isinstance(outcome, Declined), f"An outage became a decline: {describe(outcome)}")
