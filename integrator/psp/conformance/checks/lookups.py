"""Look-ups: what is there is found, what is not is None, and nobody else's is believed."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from integrator.psp.conformance import call_factory, fault_transport, operations, setup
from integrator.psp.conformance.assertions import equal, facts, raises, require, shown
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.fault_transport import Fault
from integrator.psp.conformance.operations import OperationKind, OperationVariant
from integrator.psp.conformance.registry import check
from integrator.psp.conformance.results import NotApplicable, Violation
from integrator.psp.conformance.setup import Money
from integrator.psp.errors import OutcomeUnknown, PspError
from integrator.psp.types import Lookup, Outcome

_FETCHES = ("fetch_authorization", "fetch_payment", "fetch_refund")
_STRANGE_IDS = ("../account", "x/../../y", "x?y=1#z", "%2e%2e/x", " ", "ä")

Fetch = Callable[[Lookup], Awaitable[Outcome | None]]


def _fetches(world: CheckContext) -> Iterator[tuple[str, tuple[str, Money]]]:
    if world.sheet.can_read:
        for label, money in setup.first_moneys(world):
            for name in _FETCHES:
                if world.sheet.refunds or name != "fetch_refund":
                    yield f"{name}-{label}", (name, money)


def _readable(world: CheckContext) -> Iterator[tuple[str, OperationKind]]:
    if world.sheet.can_read:
        for label, kind in operations.kinds(world):
            if kind.way is not OperationVariant.VOID:
                yield label, kind


def _fetch(world: CheckContext, name: str) -> Fetch:
    fetch: Fetch = getattr(world.connection, name)
    return fetch


def _ask(money: Money, psp_id: str | None, reference: str | None = None) -> Lookup:
    return Lookup(
        reference=reference or call_factory.new_reference(),
        psp_id=psp_id,
        currency=money.currency,
        role=money.role,
    )


@check(_fetches)
async def what_never_was_is_none(world: CheckContext, case: tuple[str, Money]) -> None:
    """A reference that the PSP has never heard of is None: neither an error nor a decline."""
    name, money = case
    equal(await _fetch(world, name)(_ask(money, None)), None, "the look-up")


@check(_readable)
async def what_was_made_is_found_at_once(world: CheckContext, kind: OperationKind) -> None:
    """With consistent look-ups, an object is found by our reference right after its creation."""
    if not world.sheet.idempotency.consistent_lookup:
        raise NotApplicable("look-ups may lag (consistent_lookup)")
    act = await operations.prepare(world, kind)
    made = await act.carry_out(world)
    found = await act.look_up(world)
    require(found is not None, "It is not found by our reference.")
    equal(found.psp_id if found else None, made.psp_id, "the id found")


@check(_readable)
async def both_ways_find_the_same(world: CheckContext, kind: OperationKind) -> None:
    """By the PSP's id and by our reference the same object is found, with the same facts."""
    act = await operations.prepare(world, kind)
    made = await act.carry_out(world)
    await setup.wait_until_decided(world, act.call)
    by_reference = await act.found(world)
    by_id = await act.look_up(world, setup.known_as(made))
    require(by_reference is not None and by_id is not None, "It is not found.")
    equal(facts(by_id), facts(by_reference), "the facts found by id")
    equal(type(by_id), type(by_reference), "the outcome found by id")


@check(_fetches)
async def an_id_stays_an_id(world: CheckContext, case: tuple[str, Money]) -> None:
    """An id with strange characters does not become another address, and breaks nothing."""
    name, money = case
    for psp_id in _STRANGE_IDS:
        try:
            found = await _fetch(world, name)(_ask(money, psp_id))
        except PspError:
            continue
        require(not facts(found), f"Something was found under {psp_id!r}: {shown(found)}")
    paths = [request.url.raw_path for request in world.wire.seen]
    require(not [p for p in paths if b"../" in p or b"y=1" in p], "An id changed the address.")


@check(setup.first_moneys)
async def a_strangers_payment_is_not_believed(world: CheckContext, money: Money) -> None:
    """An answer about another transaction than the one asked for is no outcome."""
    _readable_or_skip(world)
    strangers, _ = await setup.paid(world, money)
    mine = call_factory.new_reference()
    swap = Fault(fault_transport.asking_for(strangers.reference, mine), writes=False, times=99)
    with world.wire.failing(swap):
        await _not_believed(world.connection.fetch_payment(_ask(money, None, mine)))
    require(swap.struck, "The look-up asked nobody.")


@check(setup.first_moneys)
async def a_strangers_id_is_not_believed(world: CheckContext, money: Money) -> None:
    """An id that leads to another transaction's object is no outcome either."""
    _readable_or_skip(world)
    _, outcome = await setup.paid(world, money)
    await _not_believed(world.connection.fetch_payment(_ask(money, setup.known_as(outcome))))


@check(setup.first_moneys)
async def another_currency_is_not_believed(world: CheckContext, money: Money) -> None:
    """An object in another currency is not read with the wrong number of decimals."""
    _readable_or_skip(world)
    call, outcome = await setup.paid(world, money)
    other = "JPY" if money.currency != "JPY" else "EUR"
    asked = call_factory.lookup(call, setup.known_as(outcome)).model_copy(
        update={"currency": other}
    )
    await raises(world.connection.fetch_payment(asked), OutcomeUnknown)


async def _not_believed(call: Awaitable[Any]) -> None:
    try:
        found = await call
    except OutcomeUnknown:
        return
    except PspError as error:
        raise Violation(f"OutcomeUnknown was to be expected, not {error!r}") from error
    if found is not None:
        raise Violation(f"Somebody else's object became {shown(found)}")


def _readable_or_skip(world: CheckContext) -> None:
    if not world.sheet.can_read:
        raise NotApplicable("the PSP cannot be asked for a transaction (can_read)")
