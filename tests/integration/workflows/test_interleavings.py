"""Exhaustive tests of the order of reports: the same facts always end in the same state.

*Merged* exploration treats histories that led to the same state as one from there on. So it covers
millions of histories and, once no new state is reached, all longer ones too. It ignores only the
version and the time of changes. *Literal* exploration replays each history on its own.
"""

import asyncio
import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from decimal import Decimal
from functools import partial
from itertools import permutations
from typing import Any
from uuid import uuid4

import pytest

from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.types import Approved, Declined, FactKind, Outcome, Pending
from tests.integration.workflows.conftest import WorkflowHarness, eventually
from tests.integration.workflows.conftest import approved as reply
from tests.unit.workflows.test_state import (
    SECOND,
    T0,
    approved,
    authorized,
    booked,
    charged_back,
    declined,
    evidence,
    fact,
    paid,
    payment,
    pending,
    preauth,
    redirect,
    refund,
    succeeded_payment,
    succeeded_preauth,
)
from workflows import activity_plans
from workflows.messages import (
    NotificationResult,
    PspReply,
    ReservationResult,
    ReserveRequest,
)
from workflows.state import (
    AnyState,
    BookedRefund,
    EvidenceKind,
    ExternalMovement,
    MovementStatus,
    PaymentState,
    PreauthState,
    RefundState,
    TransactionKind,
)

Step = Callable[[Any], object]
Steps = Mapping[str, Step]
View = tuple[object, ...]
Ends = dict[frozenset[str], set[View]]
"""For each set of events, the states that all their orders led to."""

LATER = T0 + SECOND


def report_step(outcome: Outcome) -> Step:
    """Return the step that folds `outcome`."""
    return lambda state: state.apply(outcome, evidence())


def visible_state(state: AnyState) -> View:
    """Return what money and Billwerk+ depend on."""
    common = (state.status, state.psp_transaction_id, sorted(state.facts))
    if isinstance(state, PaymentState):
        sums = (state.paid, state.refunded, state.total(FactKind.CHARGED_BACK))
        left = (state.refundable, state.available)
        return (*common, sums, left, sorted(state.refunds), sorted(state.reservations))
    if isinstance(state, RefundState):
        return (*common, state.refunded)
    holder = (state.captured_by, state.captured, state.cancelling)
    return (*common, state.authorized_amount, holder, state.psp_session_id)


def to_hashable(view: View) -> View:
    """Return the view as a hashable value."""
    return tuple(tuple(part) if isinstance(part, list) else part for part in view)


def identity(state: AnyState) -> str:
    """Return a text that is equal for states that behave alike."""
    content = state.model_dump(mode="json", exclude={"version", "last_updated"})
    return json.dumps(content, sort_keys=True)


@dataclass
class Explored:
    """Results of all histories; `closed` means that longer ones reach no new state."""

    histories: int = 0
    closed: bool = False
    ends: Ends = field(default_factory=lambda: defaultdict(set))
    states: dict[str, AnyState] = field(default_factory=dict)
    attention: dict[frozenset[str], set[bool]] = field(default_factory=lambda: defaultdict(set))

    def add(self, happened: frozenset[str], state: AnyState, histories: int) -> None:
        self.histories += histories
        self.ends[happened].add(to_hashable(visible_state(state)))
        self.attention[happened].add(state.attention is not None)

    def order_dependent_sets(self) -> list[list[str]]:
        """Return the sets of events whose end depends on their order."""
        return [sorted(happened) for happened, ends in self.ends.items() if len(ends) > 1]


def explore_merged(start: AnyState, steps: Steps, longest: int) -> Explored:
    """Explore every history of up to `longest` steps with any repetition."""
    explored = Explored()
    explored.states[identity(start)] = start
    after: dict[tuple[str, str], str] = {}
    level = {(identity(start), frozenset[str]()): 1}
    seen = set(level)
    for _ in range(longest):
        following: dict[tuple[str, frozenset[str]], int] = defaultdict(int)
        for (before, happened), histories in level.items():
            for name, step in steps.items():
                if (before, name) not in after:
                    state = explored.states[before].model_copy(deep=True)
                    step(state)
                    after[before, name] = identity(state)
                    explored.states.setdefault(identity(state), state)
                following[after[before, name], happened | {name}] += histories
        for (reached, happened), histories in following.items():
            explored.add(happened, explored.states[reached], histories)
        explored.closed = following.keys() <= seen
        seen |= following.keys()
        level = following
    return explored


def explore_literal(start: AnyState, steps: Steps, longest: int) -> Explored:
    """Explore every history on its own."""
    explored = Explored()

    def explore(state: AnyState, happened: frozenset[str], left: int) -> None:
        for name, step in steps.items():
            following = state.model_copy(deep=True)
            step(following)
            explored.add(happened | {name}, following, 1)
            if left > 1:
                explore(following, happened | {name}, left - 1)

    explore(start, frozenset(), longest)
    return explored


def count_histories(steps: Steps, longest: int) -> int:
    """Return the number of histories of up to `longest` steps."""
    return int(sum(len(steps) ** length for length in range(1, longest + 1)))


# --- reports of the PSP in any order ------------------------------------------------------------

FIRST, SECOND_PART = paid("ch_1", "4.00"), paid("ch_2", "6.00")
BACK, MORE_BACK = charged_back("cb_1", "2.50"), charged_back("cb_2", "1.00")
PART, REST = (
    fact(FactKind.REFUNDED, "re_1", "4.00"),
    fact(FactKind.REFUNDED, "re_2", "6.00"),
)

PAYMENT: Steps = {
    "accepted": report_step(Pending(psp_id=None)),
    "pending": report_step(pending()),
    "first part": report_step(approved(FIRST)),
    "rest": report_step(approved(SECOND_PART)),
    "charged back": report_step(approved(BACK)),
    "charged back again": report_step(pending(MORE_BACK)),
    "looked up": report_step(approved(FIRST, BACK)),
}
REFUND: Steps = {
    "accepted": report_step(Pending(psp_id=None)),
    "pending": report_step(pending()),
    "part": report_step(approved(PART)),
    "rest": report_step(approved(REST)),
    "looked up": report_step(approved(PART, REST)),
    "part, more to come": report_step(pending(PART)),
}
OPEN: Steps = {
    "accepted": report_step(Pending(psp_id=None)),
    "pending": report_step(pending()),
    "redirect": report_step(redirect()),
}
AUTHORIZED: Steps = {
    **OPEN,
    "authorized": report_step(approved(authorized())),
    "again": report_step(approved(authorized())),
}


def ended(status: Status) -> Declined:
    """Build a decline that names its object."""
    return declined(status).model_copy(update={"psp_id": "psp_1"})


def ending(status: Status) -> Steps:
    """Steps of a preauth, payment or refund that fails, with two forms of decline."""
    return {
        "accepted": report_step(Pending(psp_id=None)),
        "pending": report_step(pending()),
        "declined": report_step(ended(status)),
        "declined in other words": report_step(Declined(psp_id="psp_1", status=status)),
    }


CASES: dict[str, tuple[AnyState, Steps]] = {
    "payment": (payment(), PAYMENT),
    "refund": (refund(), REFUND),
    "preauth": (preauth(), AUTHORIZED),
    "preauth, failed": (preauth(), {**OPEN, **ending(Status.Failed)}),
    "preauth, cancelled": (preauth(), {**OPEN, **ending(Status.Cancelled)}),
    "preauth, expired": (preauth(), {**OPEN, **ending(Status.Expired)}),
    "payment, failed": (payment(), ending(Status.Failed)),
    "payment, cancelled": (payment(), ending(Status.Cancelled)),
    "refund, failed": (refund(), ending(Status.Failed)),
}


@pytest.mark.parametrize("case", CASES)
def test_the_order_of_reports_does_not_matter_in_histories_of_any_length(case: str) -> None:
    start, steps = CASES[case]
    explored = explore_merged(start, steps, 12)
    assert explored.histories == count_histories(steps, 12)
    assert explored.closed
    assert explored.order_dependent_sets() == []


@pytest.mark.parametrize("case", CASES)
def test_the_order_of_up_to_five_reports_does_not_matter_history_by_history(case: str) -> None:
    start, steps = CASES[case]
    explored = explore_literal(start, steps, 5)
    assert explored.histories == count_histories(steps, 5)
    assert explored.order_dependent_sets() == []
    assert explored.ends == explore_merged(start, steps, 5).ends


def test_millions_of_histories_of_a_payment_are_covered() -> None:
    explored = explore_merged(payment(), PAYMENT, 9)
    assert explored.histories == 47_079_207
    assert explored.closed
    assert all(attention == {False} for attention in explored.attention.values())


# --- events after a payment ---------------------------------------------------------------------


def refund_done(psp_id: str, amount: str) -> BookedRefund:
    return BookedRefund(amount=Decimal(amount), psp_id=psp_id, booked_on=None)


def external_movement(
    psp_id: str, amount: str, status: MovementStatus = MovementStatus.BOOKED
) -> ExternalMovement:
    return ExternalMovement(psp_id=psp_id, amount=Decimal(amount), currency="EUR", status=status)


AFTERMATH: Steps = {
    "paid, again": report_step(approved(paid())),
    "pending, superseded": report_step(pending()),
    "charged back": report_step(approved(BACK)),
    "charged back again": report_step(approved(paid(), BACK, MORE_BACK)),
    "first refund done": lambda s: s.close_reservation("r1", refund_done("re_1", "3.00"), LATER),
    "first refund seen at the PSP": lambda s: s.record_external_movement(
        external_movement("re_1", "3.00"), LATER
    ),
    "second refund failed": lambda s: s.close_reservation("r2", None, LATER),
    "refund of the dashboard": lambda s: s.record_external_movement(
        external_movement("re_9", "0.50"), LATER
    ),
}


def with_open_refunds() -> PaymentState:
    state = succeeded_payment()
    assert state.reserve("r1", Decimal("3.00"), "EUR") is None
    assert state.reserve("r2", Decimal("2.00"), "EUR") is None
    return state


def test_the_order_of_refunds_and_chargebacks_does_not_matter() -> None:
    explored = explore_merged(with_open_refunds(), AFTERMATH, 10)
    assert explored.histories == 1_227_133_512
    assert explored.closed
    assert explored.order_dependent_sets() == []


def test_the_sums_of_a_payment_after_all_events_add_up() -> None:
    (end,) = explore_merged(with_open_refunds(), AFTERMATH, 8).ends[frozenset(AFTERMATH)]
    sums = (Decimal("10.00"), Decimal("3.50"), Decimal("3.50"))
    left = (Decimal("3.00"), Decimal("3.00"))
    assert end[3:] == (sums, left, ("psp:re_9", "r1"), ())


# --- contradicting evidence ---------------------------------------------------------------------


@pytest.mark.parametrize("status", [Status.Failed, Status.Cancelled, Status.Expired])
@pytest.mark.parametrize(
    ("start", "money"),
    [(payment(), paid()), (refund(), fact(FactKind.REFUNDED))],
    ids=["payment", "refund"],
)
def test_contradicting_evidence_flags_attention_in_either_order(
    start: AnyState, money: Any, status: Status
) -> None:
    steps = {
        "pending": report_step(pending()),
        "approved": report_step(approved(money)),
        "declined": report_step(declined(status)),
    }
    explored = explore_merged(start, steps, 8)
    assert explored.closed
    for happened, attention in explored.attention.items():
        assert attention == {{"approved", "declined"} <= happened}


# --- a preauth that ends ------------------------------------------------------------------------

VOIDED = report_step(declined(Status.Cancelled))
EXPIRED = report_step(declined(Status.Expired))


@pytest.mark.parametrize("status", [Status.Cancelled, Status.Expired])
def test_an_ended_reservation_stays_ended_after_late_reports(status: Status) -> None:
    steps = {**AUTHORIZED, "ended": report_step(ended(status))}
    explored = explore_merged(preauth(), steps, 9)
    assert explored.closed
    for happened, ends in explored.ends.items():
        if {"authorized", "ended"} <= happened:
            assert {end[0] for end in ends} == {status}


@pytest.mark.parametrize("status", [Status.Cancelled, Status.Expired])
def test_a_reservation_that_ended_shows_its_amount_in_every_order(status: Status) -> None:
    explored = explore_merged(preauth(), {**AUTHORIZED, "ended": report_step(ended(status))}, 6)
    assert explored.order_dependent_sets() == []


# --- concurrent commands ------------------------------------------------------------------------


@dataclass
class Run:
    """A state and the commands that it has granted so far."""

    state: Any
    granted: frozenset[str] = frozenset()


Part = tuple[str, Callable[[Run], object]]


def interleavings(*lines: Sequence[Part]) -> Iterator[list[Part]]:
    """Yield every order of all parts that keeps the order within each line."""
    if not any(lines):
        yield []
    for number, line in enumerate(lines):
        if line:
            rest = [*lines[:number], line[1:], *lines[number + 1 :]]
            yield from ([line[0], *others] for others in interleavings(*rest))


def reserving(by: str, amount: str) -> Part:
    def reserve(run: Run) -> None:
        if run.state.reserve(by, Decimal(amount), "EUR") is None:
            run.granted |= {by}

    return f"reserve {by}", reserve


def closing(by: str, close: Callable[[Any], object]) -> Part:
    """Return the part that closes a reservation, if it was granted."""
    return f"close {by}", lambda run: close(run.state) if by in run.granted else None


def report_part(name: str, step: Step) -> Part:
    return name, lambda run: step(run.state)


def refunding(by: str, amount: str, done: bool = True) -> list[Part]:
    booking = booked(amount) if done else None
    close = closing(by, lambda state: state.close_reservation(by, booking, LATER))
    return [reserving(by, amount), reserving(by, amount), close, close]


def capturing(by: str, done: bool = True) -> list[Part]:
    close = closing(by, lambda state: state.close_reservation(by, booked=done))
    return [reserving(by, "10.00"), reserving(by, "10.00"), close]


def cancelling(confirmed: bool = True) -> list[Part]:
    def begin(run: Run) -> None:
        if run.state.status is Status.Succeeded and run.state.check_cancel() is None:
            run.state.begin_void()
            run.granted |= {"cancel"}

    def end(state: PreauthState) -> None:
        if confirmed:
            VOIDED(state)
        else:
            state.end_void()

    return [("begin void", begin), closing("cancel", end)]


def run_interleavings(start: Callable[[], AnyState], *lines: Sequence[Part]) -> list[Run]:
    """Run every interleaving and return how each ended."""
    runs = []
    for order in interleavings(*lines):
        run = Run(start())
        for _name, step in order:
            step(run)
        runs.append(run)
    return runs


def depends_on_grants_only(runs: Sequence[Run]) -> bool:
    """Return whether the end depends only on which commands were granted."""
    ends: dict[frozenset[str], set[View]] = defaultdict(set)
    for run in runs:
        ends[run.granted].add(to_hashable(visible_state(run.state)))
    return all(len(views) == 1 for views in ends.values())


PAID_AGAIN = [report_part("paid, again", report_step(approved(paid())))]
TAKEN_BACK = [report_part("charged back", report_step(approved(charged_back("cb_1", "1.00"))))]


def test_of_two_refunds_that_exceed_the_payment_one_is_granted_in_every_order() -> None:
    lines = (refunding("r1", "6.00"), refunding("r2", "6.00"), PAID_AGAIN, TAKEN_BACK)
    runs = run_interleavings(succeeded_payment, *lines)
    assert len(runs) == 6_300
    assert {run.granted for run in runs} == {frozenset({"r1"}), frozenset({"r2"})}
    assert depends_on_grants_only(runs)
    assert {(run.state.refunded, run.state.available) for run in runs} == {
        (Decimal("6.00"), Decimal("3.00"))
    }


def test_two_refunds_that_fit_are_both_done_in_every_order() -> None:
    lines = (refunding("r1", "6.00"), refunding("r2", "3.00"), TAKEN_BACK)
    runs = run_interleavings(succeeded_payment, *lines)
    assert len(runs) == 630
    assert {run.granted for run in runs} == {frozenset({"r1", "r2"})}
    assert depends_on_grants_only(runs)
    assert runs[0].state.available == 0


def test_a_refund_that_fails_beside_another_leaves_no_reservation() -> None:
    lines = (refunding("r1", "6.00", done=False), refunding("r2", "6.00"), PAID_AGAIN)
    runs = run_interleavings(succeeded_payment, *lines)
    assert len(runs) == 630
    assert depends_on_grants_only(runs)
    assert all(run.state.reservations == {} for run in runs)
    assert {run.state.refunded for run in runs} == {Decimal(0), Decimal("6.00")}


STALE = [report_part("authorized, again", report_step(approved(authorized())))]
LAPSED = [report_part("expired", EXPIRED)]


def test_of_a_capture_and_a_cancellation_one_is_granted_in_every_order() -> None:
    runs = run_interleavings(succeeded_preauth, capturing("c1"), cancelling(), STALE, STALE)
    assert len(runs) == 420
    assert {run.granted for run in runs} == {frozenset({"c1"}), frozenset({"cancel"})}
    assert depends_on_grants_only(runs)
    for run in runs:
        assert run.state.captured is (run.granted == {"c1"})
        assert run.state.status is (Status.Succeeded if run.state.captured else Status.Cancelled)


@pytest.mark.parametrize("captured", [True, False])
@pytest.mark.parametrize("confirmed", [True, False])
def test_no_money_is_both_captured_and_given_back(captured: bool, confirmed: bool) -> None:
    lines = (capturing("c1", captured), capturing("c2", captured), cancelling(confirmed))
    runs = run_interleavings(succeeded_preauth, *lines)
    assert len(runs) == 560
    for run in runs:
        assert not (run.state.captured and run.state.status is Status.Cancelled)
        assert not (run.state.captured_by and run.state.cancelling)
        assert run.state.captured is (captured and bool(run.granted & {"c1", "c2"}))


def test_a_reservation_that_expired_is_not_captured_in_any_order() -> None:
    runs = run_interleavings(succeeded_preauth, capturing("c1", done=False), LAPSED, LAPSED, STALE)
    # An expiry reported while the capture holds the reservation is looked up when it is released.
    assert {run.state.status for run in runs} <= {Status.Expired, Status.Succeeded}
    assert all(run.state.captured_by is None for run in runs)
    assert not any(run.state.captured for run in runs)


def test_a_booked_capture_counts_whenever_the_rest_expires() -> None:
    for run in run_interleavings(succeeded_preauth, capturing("c1"), LAPSED, LAPSED, STALE):
        assert run.state.captured is ("c1" in run.granted)
        assert run.state.is_final


def test_a_captured_preauth_is_the_same_whenever_the_rest_expires() -> None:
    assert depends_on_grants_only(
        run_interleavings(succeeded_preauth, capturing("c1"), LAPSED, STALE)
    )


# --- the same with messages of the workflows ----------------------------------------------------


def with_new_transaction(harness: WorkflowHarness) -> WorkflowHarness:
    """Return the same harness with another transaction."""
    return replace(harness, transaction_id=f"20260115-{uuid4().hex[:24]}")


def request(by: str, amount: str) -> ReserveRequest:
    return ReserveRequest(by=by, amount=Decimal(amount), currency="EUR")


async def test_a_payments_messages_may_come_in_any_order(harness: WorkflowHarness) -> None:
    harness.answers[activity_plans.CHARGE.name] = [reply("ch_1", psp_id="psp_1")]
    back = approved(paid(), charged_back("cb_1", "1.00"))
    messages: dict[str, ReservationResult | NotificationResult] = {
        "r1": ReservationResult(by="r1", booked=True, refund=refund_done("re_1", "6.00")),
        "r1 again": ReservationResult(by="r1", booked=True, refund=refund_done("re_1", "6.00")),
        "charged back": NotificationResult(outcome=back, event_id="evt_1"),
        "charged back again": NotificationResult(outcome=back, event_id="evt_1"),
        "pending, superseded": NotificationResult(outcome=pending(), event_id="evt_0"),
    }

    async def run_order(order: Sequence[str]) -> View:
        harness_copy = with_new_transaction(harness)
        start = harness_copy.payment()
        state = await harness_copy.create(start)
        resumed = start.model_copy(update={"resume": state})
        reserve = partial(harness_copy.client.reserve, resumed)
        replies = await asyncio.gather(
            reserve(request("r1", "6.00")),
            reserve(request("r1", "6.00")),
            reserve(request("r2", "6.00")),
        )
        granted = next(by for by, r in zip("112", replies, strict=True) if r.refusal is None)
        for name in order:
            message = messages[name]
            if isinstance(message, NotificationResult):
                await harness_copy.notify(resumed, message)
            else:
                by = message.model_copy(update={"by": f"r{granted}"})
                await harness_copy.client.close_reservation(resumed, by)
        end = await wait_for_all_changes(harness_copy)
        assert set(end.refunds) == {f"r{granted}"}
        return (end.status, end.paid, end.refunded, end.refundable, end.available)

    async def wait_for_all_changes(harness_copy: WorkflowHarness) -> PaymentState:
        while True:
            state: PaymentState = await harness_copy.state(TransactionKind.PAYMENT)
            if state.refunds and state.total(FactKind.CHARGED_BACK):
                return state
            await asyncio.sleep(0.05)

    # The order of two equal messages does not matter.
    orders = [
        order
        for order in permutations(messages)
        if order.index("r1") < order.index("r1 again")
        and order.index("charged back") < order.index("charged back again")
    ]
    assert len(orders) == 30
    ends = set(await asyncio.gather(*map(run_order, orders)))
    euros = [Decimal(amount) for amount in ("10.00", "6.00", "3.00", "3.00")]
    assert ends == {(Status.Succeeded, *euros)}


@pytest.mark.parametrize("first", ["capture", "cancel", "both"])
async def test_a_capture_and_a_cancellation_exclude_each_other_in_the_workflow(
    harness: WorkflowHarness, first: str
) -> None:
    harness.answers[activity_plans.AUTHORIZE.name] = [reservation()]
    voided = PspReply(outcome=Approved(psp_id="auth_1"), evidence=EvidenceKind.ANSWER)
    harness.answers[activity_plans.VOID.name] = [voided]

    async def run_order() -> tuple[bool, bool, Status]:
        harness_copy = with_new_transaction(harness)
        start = harness_copy.preauth()
        resumed = start.model_copy(update={"resume": await harness_copy.create(start)})
        gate = asyncio.Event()

        async def capture() -> bool:
            await (gate.wait() if first == "cancel" else asyncio.sleep(0))
            answer = await harness_copy.client.reserve(resumed, request("c1", "10.00"))
            gate.set()
            return answer.refusal is None

        async def cancel() -> bool:
            await (gate.wait() if first == "capture" else asyncio.sleep(0))
            answer = await harness_copy.client.cancel(resumed)
            gate.set()
            return answer.refusal is None

        captured, cancelled = await asyncio.gather(capture(), cancel())
        state: PreauthState = await harness_copy.state(TransactionKind.PREAUTH)
        return captured, cancelled, state.status

    ends = set(await asyncio.gather(*(run_order() for _ in range(6))))
    captured, cancelled = (True, False, Status.Succeeded), (False, True, Status.Cancelled)
    allowed = {"capture": {captured}, "cancel": {cancelled}, "both": {captured, cancelled}}
    assert ends <= allowed[first]


@pytest.mark.parametrize("first", ["capture", "expiry"])
async def test_a_reservation_is_captured_or_expires_in_the_workflow(
    harness: WorkflowHarness, first: str
) -> None:
    harness.answers[activity_plans.AUTHORIZE.name] = [reservation()]
    start = harness.preauth()
    resumed = start.model_copy(update={"resume": await harness.create(start)})
    expired = NotificationResult(outcome=declined(Status.Expired), event_id="evt_1")
    if first == "capture":
        reserved = await harness.client.reserve(resumed, request("c1", "10.00"))
        await harness.client.close_reservation(resumed, ReservationResult(by="c1", booked=True))
    await harness.notify(resumed, expired)
    if first == "expiry":
        await eventually(lambda: len(harness.records) > 1)
        resumed = start.model_copy(update={"resume": await harness.state(TransactionKind.PREAUTH)})
        reserved = await harness.client.reserve(resumed, request("c1", "10.00"))
    state = await harness.state(TransactionKind.PREAUTH)
    status = Status.Succeeded if first == "capture" else Status.Expired
    assert (reserved.refusal is None, state.captured) == ((first == "capture"),) * 2
    assert state.status is status


def reservation() -> PspReply:
    later = T0 + timedelta(days=36500)
    return reply("auth_1", kind=FactKind.AUTHORIZED, expires_at=later, psp_id="auth_1")
