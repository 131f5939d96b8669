"""Test the state that follows a lost answer, at each PSP and for each operation.

A call arrived, or not. While the PSP remembers its key the call is repeated; after that the look-up
decides, as `workflows/lookup.py` does with its result.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from types import ModuleType
from typing import NamedTuple

import pytest

from integrator.psp.conformance import call_factory, fault_transport, operations, runner, setup
from integrator.psp.conformance.context import CheckContext, KitRun
from integrator.psp.conformance.fault_transport import Fault
from integrator.psp.conformance.operations import OperationKind, OperationVariant, PreparedCall
from integrator.psp.errors import PspError
from integrator.psp.lookup_result import LookupResult
from integrator.psp.types import Approved, Declined, Outcome, Pending, RedirectRequired
from tests.conformance import (
    harness_billwerk_pay,
    harness_gocardless,
    harness_sandbox,
    harness_stripe,
)
from workflows.lookup import NEVER_ARRIVED

PSPS: dict[str, ModuleType] = {
    "sandbox": harness_sandbox,
    "stripe": harness_stripe,
    "gocardless": harness_gocardless,
    "billwerk_pay": harness_billwerk_pay,
}
ALL_WRITES = 1000
KEY_FORGOTTEN = timedelta(days=4)
"""Longer than any of these PSPs remembers a key."""

BOOKED = "Succeeded or Pending"
UNDECIDED = "undecided"


class Row(NamedTuple):
    """State after a repetition with the key, and after look-ups.

    `found` and `absent` are looked up once the key is forgotten, `absent_early` before that, and
    `cannot_say` with a PSP whose reads fail.
    """

    repeated: str
    found: str
    absent: str
    absent_early: str
    cannot_say: str


MONEY = Row(BOOKED, BOOKED, "Failed", UNDECIDED, UNDECIDED)
PAGE = Row("Initiated", "Initiated", "Failed", UNDECIDED, UNDECIDED)
VOID = Row(BOOKED, "Cancelled", BOOKED, BOOKED, UNDECIDED)
"""A reservation that the PSP still shows: the void is repeated."""

EXPECTED = {
    OperationVariant.CHECKOUT: PAGE,
    OperationVariant.SIGN_UP: MONEY,
    OperationVariant.RESERVE: MONEY,
    OperationVariant.CAPTURE: MONEY,
    OperationVariant.CHARGE: MONEY,
    OperationVariant.REFUND: MONEY,
    OperationVariant.VOID: VOID,
}
ABSENT_AT_ONCE = {
    "sandbox": frozenset(OperationVariant),
    "stripe": frozenset({OperationVariant.CAPTURE, OperationVariant.REFUND}),
}
"""Operations whose absence a PSP proves at once: its reads never lag, or the parent shows it."""


@pytest.fixture(scope="module", params=PSPS)
async def kit_run(request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, KitRun]]:
    """Connect each adapter to its emulator."""
    async with AsyncExitStack() as stack:
        harness = await stack.enter_async_context(PSPS[request.param].harness(None))
        transport = await stack.enter_async_context(runner.open_transport())
        yield request.param, KitRun(harness, harness.adapter, transport)


@pytest.mark.timeout(400)  # waits for bookings of the emulators, one after the other
async def test_a_lost_answer_leads_to_the_expected_state(kit_run: tuple[str, KitRun]) -> None:
    psp, run = kit_run
    rows: dict[str, Row] = {}
    expected: dict[str, Row] = {}
    async with run.context() as context:
        for label, kind in operations.kinds(context):
            rows[label] = await play(context, kind)
            expected[label] = EXPECTED[kind.variant]
            if kind.variant in ABSENT_AT_ONCE.get(psp, ()):
                expected[label] = expected[label]._replace(absent_early=expected[label].absent)
    assert rows == expected


async def play(context: CheckContext, kind: OperationKind) -> Row:
    """Lose the answer of this operation in every way, and return the states that follow."""
    arrived = await lose_answer(context, kind, arrives=True)
    absent = await lose_answer(context, kind, arrives=False)
    looked_up = {
        "found": await look_up(context, arrived, KEY_FORGOTTEN),
        "absent": await look_up(context, absent, KEY_FORGOTTEN),
        "absent_early": await look_up(context, absent, timedelta()),
    }
    unreadable = fault_transport.respond_with(fault_transport.html_page(503))
    with context.transport.inject(Fault(unreadable, writes_only=False, times=ALL_WRITES)):
        looked_up["cannot_say"] = await look_up(context, arrived, KEY_FORGOTTEN)
    repeated = {state_of(await prepared.execute(context)) for prepared in (arrived, absent)}
    for prepared in (arrived, absent):
        await setup.wait_until_booked(context, prepared.call)
        assert await prepared.count_bookings(context) in (None, 1), prepared.variant
    [state] = repeated
    return Row(state, **looked_up)


async def lose_answer(context: CheckContext, kind: OperationKind, *, arrives: bool) -> PreparedCall:
    """Make a call whose last write takes effect without an answer, or none of whose writes does."""
    last = await count_writes(context, kind) - 1
    prepared = await operations.prepare(context, kind)
    effect = fault_transport.timeout(after_booking=arrives)
    fault = Fault(effect, skip=last if arrives else 0, times=ALL_WRITES)
    with context.transport.inject(fault), pytest.raises(PspError):
        await prepared.execute(context)
    assert fault.hits
    context.reconnect()
    return prepared


async def count_writes(context: CheckContext, kind: OperationKind) -> int:
    """Return how many writes the operation makes if nothing fails."""
    prepared = await operations.prepare(context, kind)
    context.transport.requests.clear()
    await prepared.execute(context)
    return len(context.transport.write_requests)


async def look_up(context: CheckContext, prepared: PreparedCall, age: timedelta) -> str:
    """Return the state after a look-up of a transaction of this age."""
    call = prepared.call
    is_void = prepared.variant is OperationVariant.VOID
    psp_id = getattr(call, "authorization_id", None) if is_void else None
    lookup = call_factory.lookup(call, psp_id)
    assert lookup.created_at is not None
    lookup = lookup.model_copy(
        update={
            "created_at": lookup.created_at - age,
            "has_parent": lookup.parent_psp_id is not None,
        }
    )
    try:
        result = await setup.look_up(context, call, lookup)
    except PspError:
        return UNDECIDED
    return decide(result)


def decide(result: LookupResult) -> str:
    """Return the state to which a result of a look-up leads."""
    if result.outcome is not None:
        return state_of(result.outcome)
    return state_of(NEVER_ARRIVED) if result.absence_proven else UNDECIDED


def state_of(outcome: Outcome) -> str:
    """Return the status of an outcome, after a void that of its reservation.

    Whether a debit is still Pending depends on the time that the emulator takes.
    """
    match outcome:
        case Approved() | Pending():
            return BOOKED
        case RedirectRequired():
            return "Initiated"
        case Declined():
            return outcome.status.name
