"""The same call again: money moves once, and the answer is the declared one."""

import asyncio
import contextlib
from collections.abc import Iterator

import httpx

from integrator.psp.conformance import call_factory, operations, setup
from integrator.psp.conformance.assertions import equal, facts, require, shown
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.operations import OperationKind, OperationVariant, PreparedCall
from integrator.psp.conformance.registry import check
from integrator.psp.conformance.results import NotApplicable, Violation
from integrator.psp.conformance.setup import Money
from integrator.psp.errors import OutcomeUnknown, PspError, PspUnavailable
from integrator.psp.types import Declined, FactKind, IdempotencyMode, Outcome, ReplayBehavior

_AT_ONCE = 4
# What a client library may add by itself, and what differs without meaning anything.
_VOLATILE = ("date", "x-request-id", "traceparent")


def _keyed(world: CheckContext) -> Iterator[tuple[str, OperationKind]]:
    if world.sheet.idempotency.style is not IdempotencyMode.NONE:
        yield from operations.kinds(world)


def _paying(world: CheckContext) -> Iterator[tuple[str, OperationKind]]:
    for label, kind in _keyed(world):
        if kind.way in (OperationVariant.CAPTURE, OperationVariant.CHARGE, OperationVariant.REFUND):
            yield label, kind


@check(_keyed)
async def a_repetition_is_recognised(world: CheckContext, kind: OperationKind) -> None:
    """The same call gets the answer the sheet promises, and is booked once."""
    act = await operations.prepare(world, kind)
    first = await act.carry_out(world)
    _is_no_decline(first)
    again = await _again(world, act)
    if again is not None:
        equal(again.psp_id, first.psp_id, "the id in the repeated answer")
        _same_facts(world, first, again)
    await _booked_once(world, act)


@check(_keyed)
async def repetitions_at_once_are_recognised(world: CheckContext, kind: OperationKind) -> None:
    """The same call several times at the same moment is booked once; none of them is a decline."""
    act = await operations.prepare(world, kind)
    answers = await asyncio.gather(
        *(act.carry_out(world) for _ in range(_AT_ONCE)), return_exceptions=True
    )
    for answer in answers:
        if isinstance(answer, OutcomeUnknown | PspUnavailable):
            continue
        if isinstance(answer, BaseException):
            raise Violation(f"{type(answer).__name__} is wrong here: {answer}") from answer
        _is_no_decline(answer)
    ids = {a.psp_id for a in answers if not isinstance(a, BaseException)}
    require(len(ids) <= 1, "Simultaneous repetitions were answered with different objects.")
    await _booked_once(world, act)


@check(_keyed)
async def a_repetition_is_the_same_request(world: CheckContext, kind: OperationKind) -> None:
    """The same call makes the same requests: nothing in them is random or taken from the clock."""
    act = await operations.prepare(world, kind)
    sent: list[list[tuple[object, ...]]] = []
    for _ in range(2):
        world.wire.seen.clear()
        try:
            await act.carry_out(world)
        except OutcomeUnknown:
            require(
                _promised(world) is ReplayBehavior.UNKNOWN, "A repetition raised OutcomeUnknown."
            )
        sent.append([_whole(request) for request in world.wire.writes])
    first, second = sent
    require(first, "The operation sent nothing.")
    # A repetition may stop at the request that told it about the first call.
    equal(second, first[: len(second)], "the repeated requests")


@check(_keyed)
async def the_key_is_sent(world: CheckContext, kind: OperationKind) -> None:
    """The PSP is told our key or, with natural keys, a name made of our reference."""
    act = await operations.prepare(world, kind)
    world.wire.seen.clear()
    await act.carry_out(world)
    sent = [b"".join(map(_bytes, _whole(request))) for request in world.wire.writes]
    require(sent, "The operation sent nothing.")
    if world.sheet.idempotency.style is IdempotencyMode.NATURAL:
        named = act.call.reference.encode()
        require(any(named in text for text in sent), "Nothing is named by our reference.")
        return
    other = act.call.model_copy(update={"idempotency_key": f"{act.call.idempotency_key}/other"})
    world.wire.seen.clear()
    # A second capture or void need not work: what was sent counts.
    with contextlib.suppress(PspError):
        await PreparedCall(act.way, other, None).carry_out(world)
    changed = [b"".join(map(_bytes, _whole(request))) for request in world.wire.writes]
    require(sent != changed, "Another idempotency key makes the same requests: it is not sent.")


@check(_paying)
async def other_texts_do_not_change_the_key(world: CheckContext, kind: OperationKind) -> None:
    """The key is not made of the request: a changed text with the same key books nothing more."""
    act = await operations.prepare(world, kind)
    await act.carry_out(world)
    reworded = PreparedCall(act.way, act.call.model_copy(update={"text": "Other words"}), act.books)
    try:
        await reworded.carry_out(world)
    except PspError as error:
        require(isinstance(error, OutcomeUnknown), f"{type(error).__name__} is wrong here")
    await _booked_once(world, act)


@check(setup.first_moneys)
async def another_transaction_is_another_payment(world: CheckContext, money: Money) -> None:
    """Equal amounts for different transactions are different payments: keys are not shared."""
    stored = await setup.instrument(world, money)
    made = [call_factory.charge(money.role, money.amount, money.currency, stored) for _ in range(2)]
    outcomes = [await world.connection.charge(call) for call in made]
    require(outcomes[0].psp_id != outcomes[1].psp_id, "Two transactions are one payment.")


@check(_keyed)
async def what_is_promised_can_be_kept(world: CheckContext, kind: OperationKind) -> None:
    """After a repetition, a look-up by our reference finds the one object that was made."""
    if kind.way is OperationVariant.VOID:
        raise NotApplicable("a void makes no object of its own")
    act = await operations.prepare(world, kind)
    first = await act.carry_out(world)
    await _again(world, act)
    found = await act.found(world)
    require(found is not None, "Nothing is found by our reference.")
    if found is not None and found.psp_id is not None and first.psp_id is not None:
        equal(found.psp_id, first.psp_id, "the id found by reference")
    moved = [f for f in facts(found) if f.kind in (FactKind.PAID, FactKind.REFUNDED)]
    require(len(moved) <= 1, "The look-up shows more than one movement.")


async def _again(world: CheckContext, act: PreparedCall) -> Outcome | None:
    """The repeated answer; None where the sheet promises that there is none."""
    promised = _promised(world)
    world.restart()
    try:
        again = await act.carry_out(world)
    except OutcomeUnknown as error:
        require(promised is ReplayBehavior.UNKNOWN, f"{promised.value} is promised, not: {error}")
        return None
    _is_no_decline(again)
    return again


def _same_facts(world: CheckContext, first: Outcome, again: Outcome) -> None:
    if _promised(world) is ReplayBehavior.SAME_ANSWER:
        equal(again, first, "the repeated answer")
        return
    # Read anew: it may be further than at first.
    known = {fact.id: fact.amount for fact in facts(first)}
    now = {fact.id: fact.amount for fact in facts(again)}
    require(known.items() <= now.items(), "The repeated answer lacks facts of the first.")


async def _booked_once(world: CheckContext, act: PreparedCall) -> None:
    await setup.wait_until_decided(world, act.call)
    booked = await act.times_booked(world)
    if booked is not None:
        equal(booked, 1, "how often the PSP has booked it")
        return
    await _looks_like_one(world, act)


async def _looks_like_one(world: CheckContext, act: PreparedCall) -> None:
    """What a look-up can tell when the books are closed."""
    if not world.sheet.can_read or act.way is OperationVariant.VOID:
        return
    found = facts(await act.found(world))
    moved = [f for f in found if f.kind in (FactKind.PAID, FactKind.REFUNDED)]
    require(len(moved) <= 1, "The look-up shows more than one movement.")


def _promised(world: CheckContext) -> ReplayBehavior:
    return world.sheet.idempotency.on_repeat


def _is_no_decline(outcome: Outcome) -> None:
    require(not isinstance(outcome, Declined), f"It was declined: {shown(outcome)}")


def _whole(request: httpx.Request) -> tuple[object, ...]:
    headers = sorted(
        (name, text) for name, text in request.headers.items() if name not in _VOLATILE
    )
    return (request.method, str(request.url), repr(headers), request.content)


def _bytes(part: object) -> bytes:
    return part if isinstance(part, bytes) else str(part).encode()
