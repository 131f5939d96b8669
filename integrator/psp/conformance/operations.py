"""Calls of all operations, prepared uniformly for checks that hold for every operation."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from integrator.psp.conformance import call_factory, setup
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.harness import BookingKind
from integrator.psp.conformance.setup import MethodCurrency
from integrator.psp.types import Authorize, Capture, Charge, Operation, Outcome, Refund, Void


class OperationVariant(StrEnum):
    """The operations of the port, `authorize` in its three variants."""

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
_BOOKING_KINDS = {
    OperationVariant.RESERVE: BookingKind.AUTHORIZE,
    OperationVariant.CAPTURE: BookingKind.CAPTURE,
    OperationVariant.CHARGE: BookingKind.CHARGE,
    OperationVariant.REFUND: BookingKind.REFUND,
    OperationVariant.VOID: BookingKind.VOID,
}


@dataclass(frozen=True)
class OperationKind:
    """An operation variant with a payment method."""

    variant: OperationVariant
    method: MethodCurrency


@dataclass(frozen=True)
class PreparedCall:
    """A call ready to be made; `booking_kind` is the ledger entry it must cause exactly once."""

    variant: OperationVariant
    call: Authorize | Capture | Charge | Refund | Void
    booking_kind: BookingKind | None

    def execute(self, context: CheckContext) -> Awaitable[Outcome]:
        """Make the call; every repetition is the same call."""
        operation: Callable[[Any], Awaitable[Outcome]] = getattr(
            context.connection, OPERATIONS[self.variant].value
        )
        return operation(self.call)

    async def look_up(self, context: CheckContext, psp_id: str | None = None) -> Outcome | None:
        """Return the PSP's view of the call's result; of a void, that of its reservation."""
        call = self.call
        if isinstance(call, Void):
            lookup = call_factory.lookup(call, psp_id or call.authorization_id)
            return (await setup.look_up(context, call, lookup)).outcome
        return await setup.fetch_outcome(context, call, psp_id)

    async def fetch_existing(self, context: CheckContext) -> Outcome | None:
        """Look the result up by our reference; wait for it where look-ups may lag."""
        if isinstance(self.call, Void):
            return await self.look_up(context)
        return await setup.fetch_existing(context, self.call)

    async def count_bookings(self, context: CheckContext) -> int | None:
        """Count how often the PSP has booked it; None if the ledger cannot be read."""
        entries = await context.harness.list_bookings(self.call.reference)
        if entries is None or self.booking_kind is None:
            return None
        return sum(entry.kind is self.booking_kind for entry in entries)


def kinds(context: CheckContext) -> Iterator[tuple[str, OperationKind]]:
    """Yield every operation the adapter declares, with each role's first currency, as cases."""
    for label, method in setup.each_method(context):
        for variant in _variants(context, method):
            yield f"{variant.value}-{label}", OperationKind(variant, method)


def _variants(context: CheckContext, method: MethodCurrency) -> Iterator[OperationVariant]:
    capability = context.method_capability(method.role)
    if capability.redirect:
        yield OperationVariant.CHECKOUT
    if capability.initial_bearer and context.harness.payment_data(method.role) is not None:
        yield OperationVariant.SIGN_UP
    if capability.capture:
        yield from (OperationVariant.RESERVE, OperationVariant.CAPTURE)
    yield OperationVariant.CHARGE
    if context.capabilities.refunds:
        yield OperationVariant.REFUND
    if capability.capture and capability.cancel:
        yield OperationVariant.VOID


async def prepare(context: CheckContext, kind: OperationKind) -> PreparedCall:
    """Create what the call needs, and the call. Raises `NotApplicable`."""
    call = await _CALL_BUILDERS[kind.variant](context, kind.method)
    return PreparedCall(kind.variant, call, _BOOKING_KINDS.get(kind.variant))


async def prepare_unsent(context: CheckContext, kind: OperationKind) -> PreparedCall:
    """Return a shared prepared call, for checks that never let it reach the PSP."""
    prepared = await context.kit_run.get_or_create(
        ("prepared call", kind), lambda: prepare(context, kind)
    )
    context.transport.requests.clear()
    return prepared


async def _prepare_checkout(context: CheckContext, method: MethodCurrency) -> Authorize:
    return call_factory.sign_up(method.role, method.amount, method.currency)


async def _prepare_sign_up(context: CheckContext, method: MethodCurrency) -> Authorize:
    payment_data = context.harness.payment_data(method.role)
    return call_factory.sign_up(
        method.role, method.amount, method.currency, payment_data=payment_data
    )


async def _prepare_reserve(context: CheckContext, method: MethodCurrency) -> Authorize:
    stored = await setup.stored_instrument(context, method)
    return call_factory.reserve(method.role, method.amount, method.currency, stored)


async def _prepare_capture(context: CheckContext, method: MethodCurrency) -> Capture:
    _, outcome = await setup.make_reservation(context, method)
    return call_factory.capture(
        method.role, method.amount, method.currency, setup.require_psp_id(outcome)
    )


async def _prepare_charge(context: CheckContext, method: MethodCurrency) -> Charge:
    stored = await setup.stored_instrument(context, method)
    return call_factory.charge(method.role, method.amount, method.currency, stored)


async def _prepare_refund(context: CheckContext, method: MethodCurrency) -> Refund:
    _, outcome = await setup.make_payment(context, method)
    amount = call_factory.partial_amount(method.amount, method.currency)
    return call_factory.refund(method.role, amount, method.currency, setup.require_psp_id(outcome))


async def _prepare_void(context: CheckContext, method: MethodCurrency) -> Void:
    call, outcome = await setup.make_reservation(context, method)
    return call_factory.void(call, setup.require_psp_id(outcome))


_CALL_BUILDERS: dict[OperationVariant, Callable[[CheckContext, MethodCurrency], Awaitable[Any]]] = {
    OperationVariant.CHECKOUT: _prepare_checkout,
    OperationVariant.SIGN_UP: _prepare_sign_up,
    OperationVariant.RESERVE: _prepare_reserve,
    OperationVariant.CAPTURE: _prepare_capture,
    OperationVariant.CHARGE: _prepare_charge,
    OperationVariant.REFUND: _prepare_refund,
    OperationVariant.VOID: _prepare_void,
}
