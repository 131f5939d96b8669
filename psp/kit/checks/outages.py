"""Calls that break off: nobody knows, the call is made again, and money moves once."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass

from psp.errors import CredentialsRejected, OutcomeUnknown, PspError, PspTimeout, PspUnavailable
from psp.kit import acts, scenes, wire
from psp.kit.acts import Act, Kind, Way
from psp.kit.bench import Said
from psp.kit.expect import equal, raises, require, shown
from psp.kit.registry import check
from psp.kit.scenes import Money
from psp.kit.verdicts import CannotBeProvoked, Violation
from psp.kit.wire import Effect, Fault
from psp.kit.world import World
from psp.types import Declined, KeyStyle, Outcome

_REPETITIONS = 4
_MOST_REQUESTS = 12


@dataclass(frozen=True)
class Break:
    """A way for a request to break off, and what the adapter must say."""

    label: str
    effect: Callable[[], Effect]
    error: type[PspError]


_BREAKS = (
    Break("unreachable", wire.unreachable, PspUnavailable),
    Break("reset-before", lambda: wire.lost(after_booking=False), OutcomeUnknown),
    Break("reset-after", lambda: wire.lost(after_booking=True), OutcomeUnknown),
    Break("timeout-before", lambda: wire.late(after_booking=False), PspTimeout),
    Break("timeout-after", lambda: wire.late(after_booking=True), PspTimeout),
    Break("502-before", lambda: wire.answering(wire.html(502)), OutcomeUnknown),
    Break("500-after", lambda: wire.answering(wire.html(500), after_booking=True), OutcomeUnknown),
    Break(
        "garbage-after", lambda: wire.mangled(lambda body: body[: len(body) // 2]), OutcomeUnknown
    ),
)


def _cases(world: World) -> Iterator[tuple[str, tuple[Kind, Break]]]:
    for label, kind in acts.kinds(world):
        for broken in _BREAKS:
            yield f"{label}-{broken.label}", (kind, broken)


def _reads(world: World) -> Iterator[tuple[str, tuple[Money, Break]]]:
    if world.sheet.can_read:
        for label, money in scenes.first_moneys(world):
            for broken in _BREAKS:
                yield f"{label}-{broken.label}", (money, broken)


@check(_cases)
async def a_broken_call_moves_money_once(world: World, case: tuple[Kind, Break]) -> None:
    """Whichever of its requests breaks off, the call raises, and repeated it is booked once."""
    kind, broken = case
    for place in range(_MOST_REQUESTS):
        act = await acts.prepare(world, kind)
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
async def a_broken_look_up_tells_nothing(world: World, case: tuple[Money, Break]) -> None:
    """A look-up that breaks off raises: it is neither an outcome nor "nothing found"."""
    money, broken = case
    call, outcome = await scenes.payment(world, money)
    for psp_id in (None, scenes.known_as(outcome)):
        with world.wire.failing(Fault(broken.effect(), writes=False)) as fault:
            never = (CredentialsRejected,)
            await raises(scenes.fetched(world, call, psp_id), broken.error, never=never)
            require(fault.struck, "The look-up asked nobody.")


@check(acts.kinds)
async def the_psp_fails_in_its_own_words(world: World, kind: Kind) -> None:
    """A 5xx of the PSP's own is OutcomeUnknown: it may have booked."""
    answer = world.bench.answer(Said.FAILED)
    if answer is None:
        raise CannotBeProvoked("the bench does not know how the PSP words a failure")
    act = await acts.prepare(world, kind)
    with world.wire.failing(Fault(wire.answering(answer, after_booking=True))):
        first = await _attempt(act.carry_out(world), (OutcomeUnknown,))
    await _made_good(world, act, first)


@check(acts.kinds)
async def a_call_in_vain_leaves_nothing(world: World, kind: Kind) -> None:
    """A request that never got through is found nowhere, which is None and no decline."""
    if kind.way is Way.VOID or not world.sheet.can_read:
        raise CannotBeProvoked("there is nothing to look up")
    act = await acts.prepare(world, kind)
    with world.wire.failing(Fault(wire.unreachable(), times=_MOST_REQUESTS)):
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


async def _made_good(world: World, act: Act, answer: Outcome | None) -> None:
    """Repeat until there is an answer, as the workflow does, then look into the books."""
    if world.sheet.idempotency.style is KeyStyle.NONE:
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


async def _looked_up(world: World, act: Act) -> None:
    """What was repeated, or must not be, can be found; and it is one movement at most."""
    await scenes.settled(world, act.call)
    booked = await act.times_booked(world)
    if booked is not None:
        require(booked <= 1, f"The PSP has booked it {booked} times.")


def _is_no_decline(outcome: Outcome) -> None:
    require(not isinstance(outcome, Declined), f"An outage was declined: {shown(outcome)}")
