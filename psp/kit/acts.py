"""Operations ready to be carried out, alike for checks that hold for all of them."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from psp.kit import calls, scenes
from psp.kit.bench import Movement
from psp.kit.scenes import Money
from psp.kit.world import World
from psp.types import Authorize, Capture, Charge, Operation, Outcome, Refund, Void


class Way(StrEnum):
    """The operations of the port, `authorize` in its three ways."""

    CHECKOUT = "checkout"
    SIGN_UP = "sign_up"
    RESERVE = "reserve"
    CAPTURE = "capture"
    CHARGE = "charge"
    REFUND = "refund"
    VOID = "void"


OPERATIONS = {
    Way.CHECKOUT: Operation.AUTHORIZE,
    Way.SIGN_UP: Operation.AUTHORIZE,
    Way.RESERVE: Operation.AUTHORIZE,
    Way.CAPTURE: Operation.CAPTURE,
    Way.CHARGE: Operation.CHARGE,
    Way.REFUND: Operation.REFUND,
    Way.VOID: Operation.VOID,
}
_BOOKED = {
    Way.RESERVE: Movement.AUTHORIZE,
    Way.CAPTURE: Movement.CAPTURE,
    Way.CHARGE: Movement.CHARGE,
    Way.REFUND: Movement.REFUND,
    Way.VOID: Movement.VOID,
}


@dataclass(frozen=True)
class Kind:
    """A way with a payment method."""

    way: Way
    money: Money


@dataclass(frozen=True)
class Act:
    """A call about to be made; `books` is the entry it must leave, once, in the PSP's books."""

    way: Way
    call: Authorize | Capture | Charge | Refund | Void
    books: Movement | None

    def carry_out(self, world: World) -> Awaitable[Outcome]:
        """Make the call; again and again it is the same one."""
        operation: Callable[[Any], Awaitable[Outcome]] = getattr(
            world.connection, OPERATIONS[self.way].value
        )
        return operation(self.call)

    async def look_up(self, world: World, psp_id: str | None = None) -> Outcome | None:
        """What the PSP says became of it; a void is seen at the reservation."""
        call = self.call
        if isinstance(call, Void):
            find = calls.lookup(call, psp_id or call.authorization_id)
            return await world.connection.fetch_authorization(find)
        return await scenes.fetched(world, call, psp_id)

    async def found(self, world: World) -> Outcome | None:
        """As `look_up` by our reference, for what must be there; waits where look-ups may lag."""
        if isinstance(self.call, Void):
            return await self.look_up(world)
        return await scenes.found(world, self.call)

    async def times_booked(self, world: World) -> int | None:
        """How often the PSP has booked it; None when that cannot be told."""
        entries = await world.bench.booked(self.call.reference)
        if entries is None or self.books is None:
            return None
        return sum(entry.kind is self.books for entry in entries)


def kinds(world: World) -> Iterator[tuple[str, Kind]]:
    """Everything the adapter says it can do, with the first currency of each role, as cases."""
    for label, money in scenes.first_moneys(world):
        for way in _ways(world, money):
            yield f"{way.value}-{label}", Kind(way, money)


def _ways(world: World, money: Money) -> Iterator[Way]:
    method = world.method(money.role)
    if method.redirect:
        yield Way.CHECKOUT
    if method.initial_bearer and world.bench.bearer(money.role) is not None:
        yield Way.SIGN_UP
    if method.capture:
        yield from (Way.RESERVE, Way.CAPTURE)
    yield Way.CHARGE
    if world.sheet.refunds:
        yield Way.REFUND
    if method.capture and method.cancel:
        yield Way.VOID


async def prepare(world: World, kind: Kind) -> Act:
    """Everything that has to be there before the call; raises `CannotBeProvoked`."""
    call = await _PREPARED[kind.way](world, kind.money)
    return Act(kind.way, call, _BOOKED.get(kind.way))


async def unspent(world: World, kind: Kind) -> Act:
    """An act for checks that never let it reach the PSP; the same one for all of them."""
    act = await world.rig.once(("act", kind), lambda: prepare(world, kind))
    world.wire.seen.clear()
    return act


async def _checkout(world: World, money: Money) -> Authorize:
    return calls.sign_up(money.role, money.amount, money.currency)


async def _sign_up(world: World, money: Money) -> Authorize:
    bearer = world.bench.bearer(money.role)
    return calls.sign_up(money.role, money.amount, money.currency, bearer=bearer)


async def _reserve(world: World, money: Money) -> Authorize:
    stored = await scenes.instrument(world, money)
    return calls.reserve(money.role, money.amount, money.currency, stored)


async def _capture(world: World, money: Money) -> Capture:
    _, outcome = await scenes.held(world, money)
    return calls.capture(money.role, money.amount, money.currency, scenes.known_as(outcome))


async def _charge(world: World, money: Money) -> Charge:
    stored = await scenes.instrument(world, money)
    return calls.charge(money.role, money.amount, money.currency, stored)


async def _refund(world: World, money: Money) -> Refund:
    _, outcome = await scenes.paid(world, money)
    amount = calls.part_of(money.amount, money.currency)
    return calls.refund(money.role, amount, money.currency, scenes.known_as(outcome))


async def _void(world: World, money: Money) -> Void:
    call, outcome = await scenes.held(world, money)
    return calls.void(call, scenes.known_as(outcome))


_PREPARED: dict[Way, Callable[[World, Money], Awaitable[Any]]] = {
    Way.CHECKOUT: _checkout,
    Way.SIGN_UP: _sign_up,
    Way.RESERVE: _reserve,
    Way.CAPTURE: _capture,
    Way.CHARGE: _charge,
    Way.REFUND: _refund,
    Way.VOID: _void,
}
