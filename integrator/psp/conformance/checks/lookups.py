"""Look-ups: existing objects are found, absent ones are not, other transactions' are rejected."""

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
from integrator.psp.lookup_result import LookupResult
from integrator.psp.types import Absent, Lookup, LookupAnswer, Outcome, Refund

_FETCH_METHODS = ("fetch_authorization", "fetch_payment", "fetch_refund")
_MAX_READS = 12
_UNUSUAL_IDS = ("../account", "x/../../y", "x?y=1#z", "%2e%2e/x", " ", "ä")

Fetch = Callable[[Lookup], Awaitable[LookupAnswer]]


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


def _child_kinds(context: CheckContext) -> Iterator[tuple[str, OperationKind]]:
    for label, kind in _readable_kinds(context):
        if kind.variant in (OperationVariant.CAPTURE, OperationVariant.REFUND):
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
    """A reference unknown to the PSP is None or `Absent`: neither an error nor a decline."""
    name, method = case
    answer = await _get_fetch(context, name)(_build_lookup(method, None))
    require_equal(_found(answer), None, "the look-up")


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
async def an_existing_object_is_not_proven_absent(
    context: CheckContext, kind: OperationKind
) -> None:
    """While the PSP has the object, no look-up proves its absence, however it is interrupted.

    Neither right after the creation, nor under an unknown parent, nor with a part of the answer.
    """
    prepared = await operations.prepare(context, kind)
    await prepared.execute(context)
    call = prepared.call
    lookup = call_factory.lookup(call)
    await _require_not_proven(setup.look_up(context, call, lookup), "right after its creation")
    for position in range(_MAX_READS):
        fault = Fault(
            fault_transport.respond_with(fault_transport.html_page(503)),
            writes_only=False,
            skip=position,
        )
        with context.transport.inject(fault):
            await _require_not_proven(
                setup.look_up(context, call, lookup), f"though its request {position + 1} failed"
            )
        if not fault.hits:
            return
    raise Violation(f"The look-up makes more than {_MAX_READS} requests.")


@check(_child_kinds)
async def an_unknown_parent_proves_nothing(context: CheckContext, kind: OperationKind) -> None:
    """A parent that the PSP does not know, perhaps one of another account, proves no absence."""
    call = (await operations.prepare(context, kind)).call
    known = call_factory.lookup(call)
    parent = setup.change_id(known.parent_psp_id or "")
    fetch = _get_fetch(context, "fetch_refund" if isinstance(call, Refund) else "fetch_payment")
    try:
        answer = await fetch(known.model_copy(update={"parent_psp_id": parent}))
    except OutcomeUnknown:
        return
    if answer is None:
        raise NotApplicable("the answers do not depend on the parent")
    require(answer == Absent(proven=False), f"Expected nothing proven, got {describe(answer)}")


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
        found = _found(fetched)
        require(not facts_of(found), f"Something was found under {psp_id!r}: {describe(found)}")
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
    if _found(fetched) is not None:
        raise Violation(f"Another transaction's object became {describe(fetched)}")


def _found(answer: LookupAnswer) -> Outcome | None:
    return None if isinstance(answer, Absent) else answer


async def _require_not_proven(look_up: Awaitable[LookupResult], when: str) -> None:
    try:
        result = await look_up
    except PspError:
        return
    require(not result.absence_proven, f"The object counts as proven absent {when}.")


def _require_can_read(context: CheckContext) -> None:
    if not context.capabilities.can_read:
        raise NotApplicable("the PSP does not offer look-ups (can_read)")
