"""Repeated calls: money moves once, and the repeated result is the declared one."""

import asyncio
import contextlib
from collections.abc import Iterator

import httpx

from integrator.psp.conformance import call_factory, fault_transport, operations, setup
from integrator.psp.conformance.assertions import describe, facts_of, require, require_equal
from integrator.psp.conformance.context import CheckContext
from integrator.psp.conformance.fault_transport import Fault
from integrator.psp.conformance.operations import OperationKind, OperationVariant, PreparedCall
from integrator.psp.conformance.registry import check
from integrator.psp.conformance.results import NotApplicable, Violation
from integrator.psp.conformance.setup import MethodCurrency
from integrator.psp.errors import OutcomeUnknown, PspError, PspUnavailable
from integrator.psp.types import Declined, FactKind, IdempotencyMode, Outcome, ReplayBehavior

_CONCURRENT_CALLS = 4
_MAX_REQUESTS = 12
_ATTEMPTS = 3
_EVERY_REQUEST = 1000
# Headers that a client library may add, or that may differ without meaning.
_VARIABLE_HEADERS = ("date", "x-request-id", "traceparent")


def _idempotent_kinds(context: CheckContext) -> Iterator[tuple[str, OperationKind]]:
    if context.capabilities.idempotency.style is not IdempotencyMode.NONE:
        yield from operations.kinds(context)


def _paying_kinds(context: CheckContext) -> Iterator[tuple[str, OperationKind]]:
    for label, kind in _idempotent_kinds(context):
        if kind.variant in (
            OperationVariant.CAPTURE,
            OperationVariant.CHARGE,
            OperationVariant.REFUND,
        ):
            yield label, kind


@check(_idempotent_kinds)
async def a_repeated_call_is_booked_once(context: CheckContext, kind: OperationKind) -> None:
    """A repeated call has the declared result and is booked once."""
    prepared = await operations.prepare(context, kind)
    first = await prepared.execute(context)
    _require_not_declined(first)
    repeated = await _repeat(context, prepared)
    if repeated is not None:
        require_equal(repeated.psp_id, first.psp_id, "the id in the repeated result")
        _require_same_facts(context, first, repeated)
    await _require_one_booking(context, prepared)


@check(_idempotent_kinds)
async def concurrent_repeats_are_booked_once(context: CheckContext, kind: OperationKind) -> None:
    """The same call made several times at once is booked once; none is a decline."""
    prepared = await operations.prepare(context, kind)
    results = await asyncio.gather(
        *(prepared.execute(context) for _ in range(_CONCURRENT_CALLS)), return_exceptions=True
    )
    for result in results:
        if isinstance(result, OutcomeUnknown | PspUnavailable):
            continue
        if isinstance(result, BaseException):
            raise Violation(f"Unexpected {type(result).__name__}: {result}") from result
        _require_not_declined(result)
    ids = {a.psp_id for a in results if not isinstance(a, BaseException)}
    require(len(ids) <= 1, "Concurrent repetitions returned different objects.")
    await _require_one_booking(context, prepared)


@check(_idempotent_kinds)
async def a_stored_failure_leads_to_one_object(context: CheckContext, kind: OperationKind) -> None:
    """Whichever key has a stored failure, all attempts end at the same object, or at none.

    A creation without effect may go on with another key, if every attempt uses the same ones.
    """
    response = context.harness.stored_failure()
    if response is None:
        raise NotApplicable("the PSP stores no failure under a key")
    for position in range(_MAX_REQUESTS):
        prepared = await operations.prepare(context, kind)
        effect = fault_transport.fail_first_key(response)
        with context.transport.inject(Fault(effect, skip=position, times=_EVERY_REQUEST)) as fault:
            results = [await _attempt(context, prepared)]
            if not fault.hits:
                return
            results += [await _attempt(context, prepared) for _ in range(_ATTEMPTS - 1)]
        ids = {result.psp_id for result in results if result is not None}
        require(len(ids) <= 1, f"The attempts end at different objects: {sorted(map(str, ids))}")
        if results[0] is not None:
            require(None not in results, "A repetition does not end at the object of the first.")
            await _require_one_booking(context, prepared)
        require(await prepared.count_bookings(context) in (None, 0, 1), "It is booked twice.")
    raise Violation(f"The operation makes more than {_MAX_REQUESTS} requests.")


async def _attempt(context: CheckContext, prepared: PreparedCall) -> Outcome | None:
    """Return the result of one more attempt, by another process; None if it is unknown."""
    context.reconnect()
    try:
        outcome = await prepared.execute(context)
    except OutcomeUnknown:
        return None
    _require_not_declined(outcome)
    return outcome


@check(_idempotent_kinds)
async def a_repeat_sends_identical_requests(context: CheckContext, kind: OperationKind) -> None:
    """A repeated call makes identical requests: nothing in them is random or time-dependent."""
    prepared = await operations.prepare(context, kind)
    sent: list[list[tuple[object, ...]]] = []
    for _ in range(2):
        context.transport.requests.clear()
        try:
            await prepared.execute(context)
        except OutcomeUnknown:
            require(
                _declared_replay(context) is ReplayBehavior.UNKNOWN,
                "A repetition raised OutcomeUnknown.",
            )
        sent.append([_request_fingerprint(request) for request in context.transport.write_requests])
    first, second = sent
    require(first, "The operation sent nothing.")
    # A repetition may stop at the request that reveals the first call.
    require_equal(second, first[: len(second)], "the repeated requests")


@check(_idempotent_kinds)
async def the_idempotency_key_is_sent(context: CheckContext, kind: OperationKind) -> None:
    """The PSP receives our key or, with natural keys, a name made of our reference."""
    prepared = await operations.prepare(context, kind)
    context.transport.requests.clear()
    await prepared.execute(context)
    sent = [
        b"".join(map(_to_bytes, _request_fingerprint(request)))
        for request in context.transport.write_requests
    ]
    require(sent, "The operation sent nothing.")
    if context.capabilities.idempotency.style is IdempotencyMode.NATURAL:
        reference = prepared.call.reference.encode()
        require(any(reference in text for text in sent), "No request contains our reference.")
        return
    other_call = prepared.call.model_copy(
        update={"idempotency_key": f"{prepared.call.idempotency_key}/other"}
    )
    context.transport.requests.clear()
    # A second capture or void need not succeed: only its requests are compared.
    with contextlib.suppress(PspError):
        await PreparedCall(prepared.variant, other_call, None).execute(context)
    changed = [
        b"".join(map(_to_bytes, _request_fingerprint(request)))
        for request in context.transport.write_requests
    ]
    require(sent != changed, "Another idempotency key makes identical requests: it is not sent.")


@check(_paying_kinds)
async def the_key_does_not_depend_on_the_text(context: CheckContext, kind: OperationKind) -> None:
    """The key does not depend on the request: another text with the same key books nothing more."""
    prepared = await operations.prepare(context, kind)
    await prepared.execute(context)
    reworded = PreparedCall(
        prepared.variant,
        prepared.call.model_copy(update={"text": "Another text"}),
        prepared.booking_kind,
    )
    try:
        await reworded.execute(context)
    except PspError as error:
        require(isinstance(error, OutcomeUnknown), f"Unexpected {type(error).__name__}: {error}")
    await _require_one_booking(context, prepared)


@check(setup.each_method)
async def transactions_do_not_share_keys(context: CheckContext, method: MethodCurrency) -> None:
    """Equal amounts of different transactions are different payments."""
    stored = await setup.stored_instrument(context, method)
    calls = [
        call_factory.charge(method.role, method.amount, method.currency, stored) for _ in range(2)
    ]
    outcomes = [await context.connection.charge(call) for call in calls]
    require(outcomes[0].psp_id != outcomes[1].psp_id, "Two transactions have the same payment.")


@check(_idempotent_kinds)
async def a_repeated_call_is_found_by_reference(context: CheckContext, kind: OperationKind) -> None:
    """After a repetition, a look-up by our reference finds the one object."""
    if kind.variant is OperationVariant.VOID:
        raise NotApplicable("a void creates no object of its own")
    prepared = await operations.prepare(context, kind)
    first = await prepared.execute(context)
    await _repeat(context, prepared)
    fetched = await prepared.fetch_existing(context)
    require(fetched is not None, "The object is not found by our reference.")
    if fetched is not None and fetched.psp_id is not None and first.psp_id is not None:
        require_equal(fetched.psp_id, first.psp_id, "the id found by reference")
    movements = [f for f in facts_of(fetched) if f.kind in (FactKind.PAID, FactKind.REFUNDED)]
    require(len(movements) <= 1, "The look-up shows more than one movement.")


async def _repeat(context: CheckContext, prepared: PreparedCall) -> Outcome | None:
    """Repeat the call; return None where the declared behavior is OutcomeUnknown."""
    declared = _declared_replay(context)
    context.reconnect()
    try:
        repeated = await prepared.execute(context)
    except OutcomeUnknown as error:
        require(
            declared is ReplayBehavior.UNKNOWN,
            f"{declared.value} is declared, but the call raised: {error}",
        )
        return None
    _require_not_declined(repeated)
    return repeated


def _require_same_facts(context: CheckContext, first: Outcome, repeated: Outcome) -> None:
    if _declared_replay(context) is ReplayBehavior.SAME_ANSWER:
        require_equal(repeated, first, "the repeated result")
        return
    # The repeated result was read later and may contain more facts.
    known = {fact.id: fact.amount for fact in facts_of(first)}
    now = {fact.id: fact.amount for fact in facts_of(repeated)}
    require(known.items() <= now.items(), "The repeated result lacks facts of the first.")


async def _require_one_booking(context: CheckContext, prepared: PreparedCall) -> None:
    await setup.wait_until_booked(context, prepared.call)
    booking_count = await prepared.count_bookings(context)
    if booking_count is not None:
        require_equal(booking_count, 1, "the number of bookings at the PSP")
        return
    await _require_one_movement(context, prepared)


async def _require_one_movement(context: CheckContext, prepared: PreparedCall) -> None:
    """Require at most one movement in a look-up, where the ledger cannot be read."""
    if not context.capabilities.can_read or prepared.variant is OperationVariant.VOID:
        return
    facts = facts_of(await prepared.fetch_existing(context))
    movements = [f for f in facts if f.kind in (FactKind.PAID, FactKind.REFUNDED)]
    require(len(movements) <= 1, "The look-up shows more than one movement.")


def _declared_replay(context: CheckContext) -> ReplayBehavior:
    return context.capabilities.idempotency.on_repeat


def _require_not_declined(outcome: Outcome) -> None:
    require(not isinstance(outcome, Declined), f"The call was declined: {describe(outcome)}")


def _request_fingerprint(request: httpx.Request) -> tuple[object, ...]:
    headers = sorted(
        (name, text) for name, text in request.headers.items() if name not in _VARIABLE_HEADERS
    )
    return (request.method, str(request.url), repr(headers), request.content)


def _to_bytes(part: object) -> bytes:
    return part if isinstance(part, bytes) else str(part).encode()
