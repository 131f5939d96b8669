"""How a check gets to where it begins: a customer signed up, money held, a payment made."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, TypeVar

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.conformance import call_factory
from integrator.psp.conformance.assertions import approved, redirected, require
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.harness import Customer
from integrator.psp.conformance.results import NotApplicable
from integrator.psp.types import (
    Approved,
    Authorize,
    Capture,
    Charge,
    Instrument,
    Outcome,
    Pending,
    RedirectRequired,
    Refund,
    Void,
)

T = TypeVar("T")
Made = Authorize | Capture | Charge | Refund

_PAUSE_SECONDS = 0.04


@dataclass(frozen=True)
class Money:
    """A payment method and a currency it can take."""

    role: Role
    currency: str

    @property
    def amount(self) -> Decimal:
        """A typical amount."""
        return call_factory.typical(self.currency)

    @property
    def label(self) -> str:
        """For the name of a case."""
        return f"{self.role.name}-{self.currency}"


def method_currencies(
    world: CheckContext, roles: Iterable[Role] | None = None
) -> Iterator[tuple[str, Money]]:
    """Every payment method with each of its currencies, as cases."""
    for role in world.sheet.methods if roles is None else roles:
        for currency in world.bench.currencies(role):
            yield f"{role.name}-{currency}", Money(role, currency)


def first_moneys(
    world: CheckContext, roles: Iterable[Role] | None = None
) -> Iterator[tuple[str, Money]]:
    """Every payment method with its first currency, as cases."""
    for role in world.sheet.methods if roles is None else roles:
        yield role.name, Money(role, world.bench.currencies(role)[0])


def holding(world: CheckContext) -> list[Role]:
    """The roles that hold money first and capture it later."""
    return [role for role, method in world.sheet.methods.items() if method.capture]


async def eventually(world: CheckContext, look: Callable[[], Awaitable[T | None]]) -> T | None:
    """What `look` finds within the bench's patience."""
    deadline = time.monotonic() + world.bench.patience
    while True:
        found = await look()
        if found is not None or time.monotonic() > deadline:
            return found
        await asyncio.sleep(_PAUSE_SECONDS)


async def fetched(world: CheckContext, call: Made, psp_id: str | None = None) -> Outcome | None:
    """What the PSP says became of a call, found by our reference unless `psp_id` is given."""
    if not world.sheet.can_read:
        raise NotApplicable("the PSP cannot be asked for a transaction (can_read)")
    fetch: Any = world.connection.fetch_payment
    if isinstance(call, Authorize):
        fetch = world.connection.fetch_authorization
    elif isinstance(call, Refund):
        fetch = world.connection.fetch_refund
    found: Outcome | None = await fetch(call_factory.lookup(call, psp_id))
    return found


async def found(world: CheckContext, call: Made, psp_id: str | None = None) -> Outcome | None:
    """As `fetched`, for what must be there; waits where look-ups may lag."""
    if psp_id is not None or world.sheet.idempotency.consistent_lookup:
        return await fetched(world, call, psp_id)
    shows: Outcome | None = await eventually(world, lambda: fetched(world, call))
    return shows


async def decided(world: CheckContext, call: Made, outcome: Outcome | None) -> Outcome | None:
    """The outcome, once it is no longer pending."""
    if not isinstance(outcome, Pending):
        return outcome

    async def look() -> Outcome | None:
        # As the workflows ask: by the PSP's id, if the outcome has told it.
        found = await fetched(world, call, outcome.psp_id)
        return None if isinstance(found, Pending) else found

    final: Outcome | None = await eventually(world, look)
    require(final is not None, "The outcome stays Pending longer than the bench's patience.")
    return final


async def wait_until_decided(world: CheckContext, call: Made | Void) -> None:
    """Wait until a call that was accepted is also booked, where that can be seen."""
    if isinstance(call, Void) or not world.sheet.can_read:
        return

    async def look() -> bool | None:
        return None if isinstance(await fetched(world, call), Pending) else True

    await eventually(world, look)


async def opened(
    world: CheckContext, money: Money, amount: Decimal
) -> tuple[Authorize, RedirectRequired]:
    """A hosted page for a new customer."""
    call = call_factory.sign_up(money.role, amount, money.currency)
    return call, redirected(await world.connection.authorize(call))


async def visited(
    world: CheckContext, call: Authorize, redirect: RedirectRequired, customer: Customer
) -> Outcome | None:
    """What a visit to the hosted page came to."""
    if not await world.bench.visit(call, redirect, customer):
        raise NotApplicable(f"the bench cannot play a customer who {_said(customer)}")

    async def look() -> Outcome | None:
        found = await fetched(world, call, redirect.psp_id)
        return None if isinstance(found, RedirectRequired | Pending) else found

    return await eventually(world, look)


async def signed_up(
    world: CheckContext, money: Money, amount: Decimal
) -> tuple[Authorize, Approved]:
    """A new customer, by typed payment data or by the hosted page."""
    bearer = world.bench.bearer(money.role)
    if world.method(money.role).initial_bearer and bearer is not None:
        call = call_factory.sign_up(money.role, amount, money.currency, bearer=bearer)
        outcome = await world.connection.authorize(call)
        return call, approved(await decided(world, call, outcome))
    if not world.method(money.role).redirect:
        raise NotApplicable(f"the bench offers no way to sign up for {money.role.name}")
    call, redirect = await opened(world, money, amount)
    return call, approved(await visited(world, call, redirect, Customer.PAYS))


async def instrument(world: CheckContext, money: Money) -> Instrument:
    """A stored payment method; the same one for all checks."""
    return await world.rig.once(("instrument", money), lambda: _stored(world, money))


async def _stored(world: CheckContext, money: Money) -> Instrument:
    known = world.rig.instruments.get(money.role)
    stored = known or await world.bench.instrument(money.role, money.currency)
    if stored is None:
        zero = Decimal(0) if world.method(money.role).redirect else money.amount
        _, signed = await signed_up(world, money, zero)
        stored = signed.instrument
    if stored is None:
        raise NotApplicable(f"a sign-up for {money.role.name} leaves no payment method")
    return stored


async def held(
    world: CheckContext, money: Money, amount: Decimal | None = None
) -> tuple[Authorize, Approved]:
    """Money reserved on a stored payment method."""
    if not world.method(money.role).capture:
        raise NotApplicable(f"{money.role.name} holds no money")
    wanted = money.amount if amount is None else amount
    stored = await instrument(world, money)
    call = call_factory.reserve(money.role, wanted, money.currency, stored)
    outcome = await world.connection.authorize(call)
    return call, approved(await decided(world, call, outcome))


async def paid(
    world: CheckContext, money: Money, amount: Decimal | None = None
) -> tuple[Charge, Approved]:
    """A payment made with a stored payment method."""
    wanted = money.amount if amount is None else amount
    stored = await instrument(world, money)
    call = call_factory.charge(money.role, wanted, money.currency, stored)
    outcome = await world.connection.charge(call)
    return call, approved(await decided(world, call, outcome))


async def payment(world: CheckContext, money: Money) -> tuple[Charge, Approved]:
    """A payment that is only looked at; the same one for all checks."""
    return await world.rig.once(("payment", money), lambda: paid(world, money))


def known_as(outcome: Outcome | None) -> str:
    """The PSP's id in an outcome that must have one."""
    psp_id = outcome.psp_id if outcome is not None else None
    if psp_id is None:
        raise NotApplicable("the outcome carries no id of the PSP")
    return psp_id


def _said(customer: Customer) -> str:
    return customer.value.replace("_", " ")
