"""Look-ups: existing objects are found, absent ones are None, other transactions' are rejected."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from integrator.psp.conformance import call_factory, fault_transport, operations, setup
from integrator.psp.conformance.assertions import (
    describe,
    facts_of,
    require,
    require_equal,
    require_raises,
)
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.fault_transport import Fault
from integrator.psp.conformance.operations import OperationKind, OperationVariant
from integrator.psp.conformance.registry import check
from integrator.psp.conformance.results import NotApplicable, Violation
from integrator.psp.conformance.setup import MethodCurrency
from integrator.psp.errors import OutcomeUnknown, PspError
from integrator.psp.types import Lookup, Outcome

_FETCH_METHODS = ("fetch_authorization", "fetch_payment", "fetch_refund")
_UNUSUAL_IDS = ("../account", "x/../../y", "x?y=1#z", "%2e%2e/x", " ", "ä")

Fetch = Callable[[Lookup], Awaitable[Outcome | None]]


def _fetch_cases(context: CheckContext) -> Iterator[tuple[str, tuple[str, MethodCurrency]]]:
    if context.capabilities.can_read:
        for label, method in setup.each_method(context):
            for name in _FETCH_METHODS:
                if context.capabilities.refunds or name != "fetch_refund":
                    yield f"{name}-{label}", (name, method)


def _readable_kinds(context: CheckContext) -> Iterator[tuple[str, OperationKind]]:
    if context.capabilities.can_read:
        for label, kind in operations.kinds(context):
            if kind.variant is not OperationVariant.VOID:
                yield label, kind


def _get_fetch(context: CheckContext, name: str) -> Fetch:
    fetch: Fetch = getattr(context.connection, name)
    return fetch


def _build_lookup(
    method: MethodCurrency, psp_id: str | None, reference: str | None = None
) -> Lookup:
    return Lookup(
        reference=reference or call_factory.new_reference(),
        psp_id=psp_id,
        currency=method.currency,
        role=method.role,
    )


@check(_fetch_cases)
async def an_unknown_reference_is_none(
    context: CheckContext, case: tuple[str, MethodCurrency]
) -> None:
    """A reference unknown to the PSP is None: neither an error nor a decline."""
    name, method = case
    require_equal(await _get_fetch(context, name)(_build_lookup(method, None)), None, "the look-up")


@check(_readable_kinds)
async def a_new_object_is_found_at_once(context: CheckContext, kind: OperationKind) -> None:
    """With consistent look-ups, an object is found by our reference right after its creation."""
    if not context.capabilities.idempotency.consistent_lookup:
        raise NotApplicable("look-ups may lag (consistent_lookup)")
    prepared = await operations.prepare(context, kind)
    outcome = await prepared.execute(context)
    fetched = await prepared.look_up(context)
    require(fetched is not None, "The object is not found by our reference.")
    require_equal(fetched.psp_id if fetched else None, outcome.psp_id, "the id found")


@check(_readable_kinds)
async def id_and_reference_find_the_same(context: CheckContext, kind: OperationKind) -> None:
    """The PSP's id and our reference find the same object, with the same facts."""
    prepared = await operations.prepare(context, kind)
    outcome = await prepared.execute(context)
    await setup.wait_until_booked(context, prepared.call)
    by_reference = await prepared.fetch_existing(context)
    by_id = await prepared.look_up(context, setup.require_psp_id(outcome))
    require(by_reference is not None and by_id is not None, "The object is not found.")
    require_equal(facts_of(by_id), facts_of(by_reference), "the facts found by id")
    require_equal(type(by_id), type(by_reference), "the outcome found by id")


@check(_fetch_cases)
async def an_id_cannot_change_the_address(
    context: CheckContext, case: tuple[str, MethodCurrency]
) -> None:
    """An id with unusual characters does not change the address and causes no failure."""
    name, method = case
    for psp_id in _UNUSUAL_IDS:
        try:
            fetched = await _get_fetch(context, name)(_build_lookup(method, psp_id))
        except PspError:
            continue
        require(not facts_of(fetched), f"Something was found under {psp_id!r}: {describe(fetched)}")
    paths = [request.url.raw_path for request in context.transport.requests]
    require(not [p for p in paths if b"../" in p or b"y=1" in p], "An id changed the address.")


@check(setup.each_method)
async def another_transactions_payment_is_rejected(
    context: CheckContext, method: MethodCurrency
) -> None:
    """A response about another transaction than the requested one is no outcome."""
    _require_can_read(context)
    other_call, _ = await setup.make_payment(context, method)
    reference = call_factory.new_reference()
    fault = Fault(
        fault_transport.replace_reference(other_call.reference, reference),
        writes_only=False,
        times=99,
    )
    with context.transport.inject(fault):
        await _require_rejected(
            context.connection.fetch_payment(_build_lookup(method, None, reference))
        )
    require(fault.hits, "The look-up made no request.")


@check(setup.each_method)
async def another_transactions_id_is_rejected(
    context: CheckContext, method: MethodCurrency
) -> None:
    """An id that leads to another transaction's object is no outcome."""
    _require_can_read(context)
    _, outcome = await setup.make_payment(context, method)
    await _require_rejected(
        context.connection.fetch_payment(_build_lookup(method, setup.require_psp_id(outcome)))
    )


@check(setup.each_method)
async def another_currency_is_rejected(context: CheckContext, method: MethodCurrency) -> None:
    """An object in another currency is not parsed with the wrong number of decimals."""
    _require_can_read(context)
    call, outcome = await setup.make_payment(context, method)
    other_currency = "JPY" if method.currency != "JPY" else "EUR"
    lookup = call_factory.lookup(call, setup.require_psp_id(outcome)).model_copy(
        update={"currency": other_currency}
    )
    await require_raises(context.connection.fetch_payment(lookup), OutcomeUnknown)


async def _require_rejected(call: Awaitable[Any]) -> None:
    try:
        fetched = await call
    except OutcomeUnknown:
        return
    except PspError as error:
        raise Violation(f"Expected OutcomeUnknown, got {error!r}") from error
    if fetched is not None:
        raise Violation(f"Another transaction's object became {describe(fetched)}")


def _require_can_read(context: CheckContext) -> None:
    if not context.capabilities.can_read:
        raise NotApplicable("the PSP does not offer look-ups (can_read)")
