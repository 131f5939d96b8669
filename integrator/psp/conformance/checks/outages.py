"""Calls that break off: nobody knows, the call is made again, and money moves once."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from integrator.psp.conformance import fault_transport, operations, setup
from integrator.psp.conformance.assertions import equal, raises, require, shown
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.fault_transport import Effect, Fault
from integrator.psp.conformance.harness import ErrorCase
from integrator.psp.conformance.operations import OperationKind, OperationVariant, PreparedCall
from integrator.psp.conformance.registry import check
from integrator.psp.conformance.results import NotApplicable, Violation
from integrator.psp.conformance.setup import Money
from integrator.psp.errors import (
    CredentialsRejected,
    OutcomeUnknown,
    PspError,
    PspTimeout,
    PspUnavailable,
)
from integrator.psp.types import Declined, IdempotencyMode, Outcome

_REPETITIONS = 4
_MOST_REQUESTS = 12


@dataclass(frozen=True)
class Break:
    """A way for a request to break off, and what the adapter must say."""

    label: str
    effect: Callable[[], Effect]
    error: type[PspError]


_BREAKS = (
    Break("unreachable", fault_transport.unreachable, PspUnavailable),
    Break("reset-before", lambda: fault_transport.lost(after_booking=False), OutcomeUnknown),
    Break("reset-after", lambda: fault_transport.lost(after_booking=True), OutcomeUnknown),
    Break("timeout-before", lambda: fault_transport.late(after_booking=False), PspTimeout),
    Break("timeout-after", lambda: fault_transport.late(after_booking=True), PspTimeout),
    Break(
        "502-before", lambda: fault_transport.answering(fault_transport.html(502)), OutcomeUnknown
    ),
    Break(
        "500-after",
        lambda: fault_transport.answering(fault_transport.html(500), after_booking=True),
        OutcomeUnknown,
    ),
    Break(
        "garbage-after",
        lambda: fault_transport.mangled(lambda body: body[: len(body) // 2]),
        OutcomeUnknown,
    ),
)


def _cases(world: CheckContext) -> Iterator[tuple[str, tuple[OperationKind, Break]]]:
    for label, kind in operations.kinds(world):
        for broken in _BREAKS:
            yield f"{label}-{broken.label}", (kind, broken)


def _reads(world: CheckContext) -> Iterator[tuple[str, tuple[Money, Break]]]:
    if world.sheet.can_read:
        for label, money in setup.first_moneys(world):
            for broken in _BREAKS:
                yield f"{label}-{broken.label}", (money, broken)


@check(_cases)
async def a_broken_call_moves_money_once(
    world: CheckContext, case: tuple[OperationKind, Break]
) -> None:
    """Whichever of its requests breaks off, the call raises, and repeated it is booked once."""
    kind, broken = case
    for place in range(_MOST_REQUESTS):
        act = await operations.prepare(world, kind)
        with world.wire.failing(Fault(broken.effect(), skip=place)) as fault:
            # A request on its own way of failing; later ones may follow others that took effect.
            errors = (broken.error,) if place == 0 else (OutcomeUnknown, PspUnavailable)
            answer = await _attempt(act.carry_out(world), errors)
        if not fault.struck:
            require(place > 0, "The operation sends nothing that writes.")
            return
        await _made_good(world, act, answer)
    raise Violation(f"The operation makes more than {_MOST_REQUESTS} requests.")


@check(_reads)
async def a_broken_look_up_tells_nothing(world: CheckContext, case: tuple[Money, Break]) -> None:
    """A look-up that breaks off raises: it is neither an outcome nor "nothing found"."""
    money, broken = case
    call, outcome = await setup.payment(world, money)
    for psp_id in (None, setup.known_as(outcome)):
        with world.wire.failing(Fault(broken.effect(), writes=False)) as fault:
            never = (CredentialsRejected,)
            await raises(setup.fetched(world, call, psp_id), broken.error, never=never)
            require(fault.struck, "The look-up asked nobody.")


@check(operations.kinds)
async def the_psp_fails_in_its_own_words(world: CheckContext, kind: OperationKind) -> None:
    """A 5xx of the PSP's own is OutcomeUnknown: it may have booked."""
    answer = world.bench.answer(ErrorCase.FAILED)
    if answer is None:
        raise NotApplicable("the bench does not know how the PSP words a failure")
    act = await operations.prepare(world, kind)
    with world.wire.failing(Fault(fault_transport.answering(answer, after_booking=True))):
        first = await _attempt(act.carry_out(world), (OutcomeUnknown,))
    await _made_good(world, act, first)


@check(operations.kinds)
async def a_call_in_vain_leaves_nothing(world: CheckContext, kind: OperationKind) -> None:
    """A request that never got through is found nowhere, which is None and no decline."""
    if kind.way is OperationVariant.VOID or not world.sheet.can_read:
        raise NotApplicable("there is nothing to look up")
    act = await operations.prepare(world, kind)
    with world.wire.failing(Fault(fault_transport.unreachable(), times=_MOST_REQUESTS)):
        await raises(act.carry_out(world), PspUnavailable)
    equal(await act.look_up(world), None, "the look-up of what never arrived")


async def _attempt(call: Awaitable[Outcome], errors: tuple[type[PspError], ...]) -> Outcome | None:
    """The outcome of an adapter that found it out by itself; None after one of the errors."""
    try:
        outcome = await call
    except errors as error:
        require(not isinstance(error, CredentialsRejected), "An outage is no rejection.")
        return None
    except PspError as error:
        names = " or ".join(kind.__name__ for kind in errors)
        text = f"{names} was to be expected, not {type(error).__name__}: {error}"
        raise Violation(text) from error
    _is_no_decline(outcome)
    return outcome


async def _made_good(world: CheckContext, act: PreparedCall, answer: Outcome | None) -> None:
    """Repeat until there is an answer, as the workflow does, then look into the books."""
    if world.sheet.idempotency.style is IdempotencyMode.NONE:
        await _looked_up(world, act)
        return
    world.restart()
    for _ in range(_REPETITIONS):
        if answer is not None:
            break
        try:
            answer = await act.carry_out(world)
        except (OutcomeUnknown, PspUnavailable):
            continue
        _is_no_decline(answer)
    await _looked_up(world, act)
    booked = await act.times_booked(world)
    if booked is not None:
        equal(booked, 1, "how often the PSP has booked it")


async def _looked_up(world: CheckContext, act: PreparedCall) -> None:
    """What was repeated, or must not be, can be found; and it is one movement at most."""
    await setup.wait_until_decided(world, act.call)
    booked = await act.times_booked(world)
    if booked is not None:
        require(booked <= 1, f"The PSP has booked it {booked} times.")


def _is_no_decline(outcome: Outcome) -> None:
    require(not isinstance(outcome, Declined), f"An outage was declined: {shown(outcome)}")
