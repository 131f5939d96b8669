"""Preconditions of checks: a customer signed up, an amount reserved, a payment made."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import TypeVar

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.conformance import call_factory
from integrator.psp.conformance.assertions import require, require_approved, require_redirect
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.harness import CustomerBehavior
from integrator.psp.conformance.results import NotApplicable
from integrator.psp.errors import OutcomeUnknown
from integrator.psp.lookup_result import LookupResult, interpret_answer
from integrator.psp.types import (
    Approved,
    Authorize,
    Capture,
    Charge,
    Instrument,
    Lookup,
    Outcome,
    Pending,
    RedirectRequired,
    Refund,
    Void,
)

T = TypeVar("T")
ReadableCall = Authorize | Capture | Charge | Refund

_POLL_INTERVAL_SECONDS = 0.04


@dataclass(frozen=True)
class MethodCurrency:
    """A payment method and a currency it accepts."""

    role: Role
    currency: str

    @property
    def amount(self) -> Decimal:
        """Return a typical amount."""
        return call_factory.typical_amount(self.currency)

    @property
    def label(self) -> str:
        """Return the label of a case."""
        return f"{self.role.name}-{self.currency}"


def method_currencies(
    context: CheckContext, roles: Iterable[Role] | None = None
) -> Iterator[tuple[str, MethodCurrency]]:
    """Yield every payment method with each of its currencies, as cases."""
    for role in context.capabilities.methods if roles is None else roles:
        for currency in context.harness.currencies(role):
            yield f"{role.name}-{currency}", MethodCurrency(role, currency)


def each_method(
    context: CheckContext, roles: Iterable[Role] | None = None
) -> Iterator[tuple[str, MethodCurrency]]:
    """Yield every payment method with its first currency, as cases."""
    for role in context.capabilities.methods if roles is None else roles:
        yield role.name, MethodCurrency(role, context.harness.currencies(role)[0])


def reservable_roles(context: CheckContext) -> list[Role]:
    """Return the roles whose payment methods reserve an amount and capture it later."""
    return [role for role, method in context.capabilities.methods.items() if method.capture]


async def poll(context: CheckContext, probe: Callable[[], Awaitable[T | None]]) -> T | None:
    """Call `probe` until it returns a result, up to the harness's timeout.

    What it waits for may change between two reads of one look-up, which then raises
    `OutcomeUnknown`; a workflow looks up again, and so does this.
    """
    deadline = time.monotonic() + context.harness.timeout
    while True:
        is_last = time.monotonic() > deadline
        try:
            result = await probe()
        except OutcomeUnknown:
            if is_last:
                raise
            result = None
        if result is not None or is_last:
            return result
        await asyncio.sleep(_POLL_INTERVAL_SECONDS)


async def fetch_outcome(
    context: CheckContext, call: ReadableCall, psp_id: str | None = None
) -> Outcome | None:
    """Look up a call's result, by our reference unless `psp_id` is given."""
    return (await look_up(context, call, call_factory.lookup(call, psp_id))).outcome


async def look_up(context: CheckContext, call: ReadableCall | Void, lookup: Lookup) -> LookupResult:
    """Look up a call's result, of a void that of its reservation."""
    if not context.capabilities.can_read:
        raise NotApplicable("the PSP cannot be asked for a transaction (can_read)")
    match call:
        case Authorize() | Void():
            answer = await context.connection.fetch_authorization(lookup)
        case Refund():
            answer = await context.connection.fetch_refund(lookup)
        case _:
            answer = await context.connection.fetch_payment(lookup)
    return interpret_answer(answer, lookup, context.capabilities.idempotency)


async def fetch_existing(
    context: CheckContext, call: ReadableCall, psp_id: str | None = None
) -> Outcome | None:
    """Look up a result that must exist; wait for it where look-ups may lag."""
    if psp_id is not None or context.capabilities.idempotency.consistent_lookup:
        return await fetch_outcome(context, call, psp_id)
    outcome: Outcome | None = await poll(context, lambda: fetch_outcome(context, call))
    return outcome


async def wait_for_outcome(
    context: CheckContext, call: ReadableCall, outcome: Outcome | None
) -> Outcome | None:
    """Wait until the outcome is no longer pending, and return it."""
    if not isinstance(outcome, Pending):
        return outcome

    async def probe() -> Outcome | None:
        # Like the workflows: by the PSP's id, if the outcome names it.
        current = await fetch_outcome(context, call, outcome.psp_id)
        return None if isinstance(current, Pending) else current

    final: Outcome | None = await poll(context, probe)
    require(final is not None, "The outcome stays Pending longer than the harness's timeout.")
    return final


async def wait_until_booked(context: CheckContext, call: ReadableCall | Void) -> None:
    """Wait until a call that was accepted is also booked, where a look-up shows it."""
    if isinstance(call, Void) or not context.capabilities.can_read:
        return

    async def probe() -> bool | None:
        return None if isinstance(await fetch_outcome(context, call), Pending) else True

    await poll(context, probe)


async def open_page(
    context: CheckContext, method: MethodCurrency, amount: Decimal
) -> tuple[Authorize, RedirectRequired]:
    """Open a hosted page for a new customer."""
    call = call_factory.sign_up(method.role, amount, method.currency)
    return call, require_redirect(await context.connection.authorize(call))


async def visit_page(
    context: CheckContext, call: Authorize, redirect: RedirectRequired, customer: CustomerBehavior
) -> Outcome | None:
    """Act as the customer at the hosted page and return the outcome."""
    if not await context.harness.visit_page(call, redirect, customer):
        raise NotApplicable(
            f"the harness cannot play a customer who {_describe_behavior(customer)}"
        )

    async def probe() -> Outcome | None:
        current = await fetch_outcome(context, call, redirect.psp_id)
        return None if isinstance(current, RedirectRequired | Pending) else current

    return await poll(context, probe)


async def sign_up_customer(
    context: CheckContext, method: MethodCurrency, amount: Decimal
) -> tuple[Authorize, Approved]:
    """Sign up a new customer, by typed payment data or by the hosted page."""
    payment_data = context.harness.payment_data(method.role)
    if context.method_capability(method.role).initial_bearer and payment_data is not None:
        call = call_factory.sign_up(method.role, amount, method.currency, payment_data=payment_data)
        outcome = await context.connection.authorize(call)
        return call, require_approved(await wait_for_outcome(context, call, outcome))
    if not context.method_capability(method.role).redirect:
        raise NotApplicable(f"the harness offers no way to sign up for {method.role.name}")
    call, redirect = await open_page(context, method, amount)
    return call, require_approved(await visit_page(context, call, redirect, CustomerBehavior.PAYS))


async def stored_instrument(context: CheckContext, method: MethodCurrency) -> Instrument:
    """Return a stored payment method, shared by all checks."""
    return await context.kit_run.get_or_create(
        ("instrument", method), lambda: _create_instrument(context, method)
    )


async def _create_instrument(context: CheckContext, method: MethodCurrency) -> Instrument:
    known = context.kit_run.instruments.get(method.role)
    stored = known or await context.harness.instrument(method.role, method.currency)
    if stored is None:
        amount = Decimal(0) if context.method_capability(method.role).redirect else method.amount
        _, outcome = await sign_up_customer(context, method, amount)
        stored = outcome.instrument
    if stored is None:
        raise NotApplicable(f"a sign-up for {method.role.name} leaves no payment method")
    return stored


async def make_reservation(
    context: CheckContext, method: MethodCurrency, amount: Decimal | None = None
) -> tuple[Authorize, Approved]:
    """Reserve an amount on a stored payment method."""
    if not context.method_capability(method.role).capture:
        raise NotApplicable(f"{method.role.name} has no reservations")
    requested_amount = method.amount if amount is None else amount
    stored = await stored_instrument(context, method)
    call = call_factory.reserve(method.role, requested_amount, method.currency, stored)
    outcome = await context.connection.authorize(call)
    return call, require_approved(await wait_for_outcome(context, call, outcome))


async def make_payment(
    context: CheckContext, method: MethodCurrency, amount: Decimal | None = None
) -> tuple[Charge, Approved]:
    """Make a payment with a stored payment method."""
    requested_amount = method.amount if amount is None else amount
    stored = await stored_instrument(context, method)
    call = call_factory.charge(method.role, requested_amount, method.currency, stored)
    outcome = await context.connection.charge(call)
    return call, require_approved(await wait_for_outcome(context, call, outcome))


async def shared_payment(context: CheckContext, method: MethodCurrency) -> tuple[Charge, Approved]:
    """Return a payment for checks that only read it, shared by all of them."""
    return await context.kit_run.get_or_create(
        ("payment", method), lambda: make_payment(context, method)
    )


def require_psp_id(outcome: Outcome | None) -> str:
    """Return the outcome's PSP id, or raise `NotApplicable`."""
    psp_id = outcome.psp_id if outcome is not None else None
    if psp_id is None:
        raise NotApplicable("the outcome carries no id of the PSP")
    return psp_id


def change_id(psp_id: str) -> str:
    """Return another id of the same format, which belongs to no object."""
    changed_end = psp_id[-6:].swapcase()
    return psp_id[:-6] + (changed_end if changed_end != psp_id[-6:] else psp_id[-6:][::-1] + "0")


def _describe_behavior(customer: CustomerBehavior) -> str:
    return customer.value.replace("_", " ")
