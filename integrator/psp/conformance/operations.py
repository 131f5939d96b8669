"""Operations ready to be carried out, alike for checks that hold for all of them."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from integrator.psp.conformance import call_factory, setup
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.harness import Movement
from integrator.psp.conformance.setup import Money
from integrator.psp.types import Authorize, Capture, Charge, Operation, Outcome, Refund, Void


class OperationVariant(StrEnum):
    """The operations of the port, `authorize` in its three ways."""

    CHECKOUT = "checkout"
    SIGN_UP = "sign_up"
    RESERVE = "reserve"
    CAPTURE = "capture"
    CHARGE = "charge"
    REFUND = "refund"
    VOID = "void"


OPERATIONS = {
    OperationVariant.CHECKOUT: Operation.AUTHORIZE,
    OperationVariant.SIGN_UP: Operation.AUTHORIZE,
    OperationVariant.RESERVE: Operation.AUTHORIZE,
    OperationVariant.CAPTURE: Operation.CAPTURE,
    OperationVariant.CHARGE: Operation.CHARGE,
    OperationVariant.REFUND: Operation.REFUND,
    OperationVariant.VOID: Operation.VOID,
}
_BOOKED = {
    OperationVariant.RESERVE: Movement.AUTHORIZE,
    OperationVariant.CAPTURE: Movement.CAPTURE,
    OperationVariant.CHARGE: Movement.CHARGE,
    OperationVariant.REFUND: Movement.REFUND,
    OperationVariant.VOID: Movement.VOID,
}


@dataclass(frozen=True)
class OperationKind:
    """A way with a payment method."""

    way: OperationVariant
    money: Money


@dataclass(frozen=True)
class PreparedCall:
    """A call about to be made; `books` is the entry it must leave, once, in the PSP's books."""

    way: OperationVariant
    call: Authorize | Capture | Charge | Refund | Void
    books: Movement | None

    def carry_out(self, world: CheckContext) -> Awaitable[Outcome]:
        """Make the call; again and again it is the same one."""
        operation: Callable[[Any], Awaitable[Outcome]] = getattr(
            world.connection, OPERATIONS[self.way].value
        )
        return operation(self.call)

    async def look_up(self, world: CheckContext, psp_id: str | None = None) -> Outcome | None:
        """What the PSP says became of it; a void is seen at the reservation."""
        call = self.call
        if isinstance(call, Void):
            find = call_factory.lookup(call, psp_id or call.authorization_id)
            return await world.connection.fetch_authorization(find)
        return await setup.fetched(world, call, psp_id)

    async def found(self, world: CheckContext) -> Outcome | None:
        """As `look_up` by our reference, for what must be there; waits where look-ups may lag."""
        if isinstance(self.call, Void):
            return await self.look_up(world)
        return await setup.found(world, self.call)

    async def times_booked(self, world: CheckContext) -> int | None:
        """How often the PSP has booked it; None when that cannot be told."""
        entries = await world.bench.booked(self.call.reference)
        if entries is None or self.books is None:
            return None
        return sum(entry.kind is self.books for entry in entries)


def kinds(world: CheckContext) -> Iterator[tuple[str, OperationKind]]:
    """Everything the adapter says it can do, with the first currency of each role, as cases."""
    for label, money in setup.first_moneys(world):
        for way in _ways(world, money):
            yield f"{way.value}-{label}", OperationKind(way, money)


def _ways(world: CheckContext, money: Money) -> Iterator[OperationVariant]:
    method = world.method(money.role)
    if method.redirect:
        yield OperationVariant.CHECKOUT
    if method.initial_bearer and world.bench.bearer(money.role) is not None:
        yield OperationVariant.SIGN_UP
    if method.capture:
        yield from (OperationVariant.RESERVE, OperationVariant.CAPTURE)
    yield OperationVariant.CHARGE
    if world.sheet.refunds:
        yield OperationVariant.REFUND
    if method.capture and method.cancel:
        yield OperationVariant.VOID


async def prepare(world: CheckContext, kind: OperationKind) -> PreparedCall:
    """Everything that has to be there before the call; raises `CannotBeProvoked`."""
    call = await _PREPARED[kind.way](world, kind.money)
    return PreparedCall(kind.way, call, _BOOKED.get(kind.way))


async def unspent(world: CheckContext, kind: OperationKind) -> PreparedCall:
    """An act for checks that never let it reach the PSP; the same one for all of them."""
    act = await world.rig.once(("act", kind), lambda: prepare(world, kind))
    world.wire.seen.clear()
    return act


async def _checkout(world: CheckContext, money: Money) -> Authorize:
    return call_factory.sign_up(money.role, money.amount, money.currency)


async def _sign_up(world: CheckContext, money: Money) -> Authorize:
    bearer = world.bench.bearer(money.role)
    return call_factory.sign_up(money.role, money.amount, money.currency, bearer=bearer)


async def _reserve(world: CheckContext, money: Money) -> Authorize:
    stored = await setup.instrument(world, money)
    return call_factory.reserve(money.role, money.amount, money.currency, stored)


async def _capture(world: CheckContext, money: Money) -> Capture:
    _, outcome = await setup.held(world, money)
    return call_factory.capture(money.role, money.amount, money.currency, setup.known_as(outcome))


async def _charge(world: CheckContext, money: Money) -> Charge:
    stored = await setup.instrument(world, money)
    return call_factory.charge(money.role, money.amount, money.currency, stored)


async def _refund(world: CheckContext, money: Money) -> Refund:
    _, outcome = await setup.paid(world, money)
    amount = call_factory.part_of(money.amount, money.currency)
    return call_factory.refund(money.role, amount, money.currency, setup.known_as(outcome))


async def _void(world: CheckContext, money: Money) -> Void:
    call, outcome = await setup.held(world, money)
    return call_factory.void(call, setup.known_as(outcome))


_PREPARED: dict[OperationVariant, Callable[[CheckContext, Money], Awaitable[Any]]] = {
    OperationVariant.CHECKOUT: _checkout,
    OperationVariant.SIGN_UP: _sign_up,
    OperationVariant.RESERVE: _reserve,
    OperationVariant.CAPTURE: _capture,
    OperationVariant.CHARGE: _charge,
    OperationVariant.REFUND: _refund,
    OperationVariant.VOID: _void,
}
