"""Every order in which news can arrive, tried out: the same facts always end in the same state.

*Merged* exploration treats two histories that have led to the same state as one from there on, so
that it covers millions of them and, once nothing new is reached, all longer ones as well. It leaves
aside only what counts or dates changes. *Literal* exploration replays each history on its own.
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
from tests.workflows.conftest import WorkflowHarness, eventually
from tests.workflows.conftest import approved as reply
from tests.workflows.test_state import (
    SECOND,
    T0,
    approved,
    booked,
    charged_back,
    declined,
    evidence,
    fact,
    held,
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
"""For each set of things that happened, the states all their orders led to."""

LATER = T0 + SECOND


def told(outcome: Outcome) -> Step:
    """The PSP reports `outcome`."""
    return lambda state: state.apply(outcome, evidence())


def view(state: AnyState) -> View:
    """What money and Billwerk+ depend on."""
    common = (state.status, state.psp_transaction_id, sorted(state.facts))
    if isinstance(state, PaymentState):
        sums = (state.paid, state.refunded, state.total(FactKind.CHARGED_BACK))
        left = (state.refundable, state.available)
        return (*common, sums, left, sorted(state.refunds), sorted(state.reservations))
    if isinstance(state, RefundState):
        return (*common, state.refunded)
    holder = (state.captured_by, state.captured, state.cancelling)
    return (*common, state.authorized_amount, holder, state.psp_session_id)


def frozen(seen: View) -> View:
    """The same, as a member of a set."""
    return tuple(tuple(part) if isinstance(part, list) else part for part in seen)


def identity(state: AnyState) -> str:
    """Equal for states that will answer everything alike."""
    content = state.model_dump(mode="json", exclude={"version", "last_updated"})
    return json.dumps(content, sort_keys=True)


@dataclass
class Explored:
    """What came of all histories; `closed`: longer ones lead to nothing new."""

    histories: int = 0
    closed: bool = False
    ends: Ends = field(default_factory=lambda: defaultdict(set))
    states: dict[str, AnyState] = field(default_factory=dict)
    attention: dict[frozenset[str], set[bool]] = field(default_factory=lambda: defaultdict(set))

    def note(self, happened: frozenset[str], state: AnyState, histories: int) -> None:
        self.histories += histories
        self.ends[happened].add(frozen(view(state)))
        self.attention[happened].add(state.attention is not None)

    def undecided_by_facts(self) -> list[list[str]]:
        """The sets of facts whose end depends on their order."""
        return [sorted(happened) for happened, ends in self.ends.items() if len(ends) > 1]


def merged(start: AnyState, steps: Steps, longest: int) -> Explored:
    """Every history of up to `longest` steps with any repetition."""
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
            explored.note(happened, explored.states[reached], histories)
        explored.closed = following.keys() <= seen
        seen |= following.keys()
        level = following
    return explored


def literal(start: AnyState, steps: Steps, longest: int) -> Explored:
    """As `merged`, one by one."""
    explored = Explored()

    def go(state: AnyState, happened: frozenset[str], left: int) -> None:
        for name, step in steps.items():
            following = state.model_copy(deep=True)
            step(following)
            explored.note(happened | {name}, following, 1)
            if left > 1:
                go(following, happened | {name}, left - 1)

    go(start, frozenset(), longest)
    return explored


def every(steps: Steps, longest: int) -> int:
    """How many histories of up to `longest` steps there are."""
    return int(sum(len(steps) ** length for length in range(1, longest + 1)))


# --- what the PSP says, in any order ------------------------------------------------------------

FIRST, SECOND_PART = paid("ch_1", "4.00"), paid("ch_2", "6.00")
BACK, MORE_BACK = charged_back("cb_1", "2.50"), charged_back("cb_2", "1.00")
PART, REST = (
    fact(FactKind.REFUNDED, "re_1", "4.00"),
    fact(FactKind.REFUNDED, "re_2", "6.00"),
)

PAYMENT: Steps = {
    "accepted": told(Pending(psp_id=None)),
    "pending": told(pending()),
    "first part": told(approved(FIRST)),
    "rest": told(approved(SECOND_PART)),
    "charged back": told(approved(BACK)),
    "charged back again": told(pending(MORE_BACK)),
    "looked up": told(approved(FIRST, BACK)),
}
REFUND: Steps = {
    "accepted": told(Pending(psp_id=None)),
    "pending": told(pending()),
    "part": told(approved(PART)),
    "rest": told(approved(REST)),
    "looked up": told(approved(PART, REST)),
    "part, more to come": told(pending(PART)),
}
OPEN: Steps = {
    "accepted": told(Pending(psp_id=None)),
    "pending": told(pending()),
    "redirect": told(redirect()),
}
AUTHORIZED: Steps = {**OPEN, "authorized": told(approved(held())), "again": told(approved(held()))}


def ended(status: Status) -> Declined:
    """A decline that names its object."""
    return declined(status).model_copy(update={"psp_id": "psp_1"})


def ending(status: Status) -> Steps:
    """A preauth, payment or refund that comes to nothing, told in two ways."""
    return {
        "accepted": told(Pending(psp_id=None)),
        "pending": told(pending()),
        "declined": told(ended(status)),
        "declined in other words": told(Declined(psp_id="psp_1", status=status)),
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
def test_the_order_of_news_does_not_matter_however_long_they_go_on(case: str) -> None:
    start, steps = CASES[case]
    explored = merged(start, steps, 12)
    assert explored.histories == every(steps, 12)
    assert explored.closed
    assert explored.undecided_by_facts() == []


@pytest.mark.parametrize("case", CASES)
def test_the_order_of_up_to_five_news_does_not_matter_one_by_one(case: str) -> None:
    start, steps = CASES[case]
    explored = literal(start, steps, 5)
    assert explored.histories == every(steps, 5)
    assert explored.undecided_by_facts() == []
    assert explored.ends == merged(start, steps, 5).ends


def test_millions_of_histories_of_a_payment_are_covered() -> None:
    explored = merged(payment(), PAYMENT, 9)
    assert explored.histories == 47_079_207
    assert explored.closed
    assert all(attention == {False} for attention in explored.attention.values())


# --- what happens to money that was paid --------------------------------------------------------


def refund_done(psp_id: str, amount: str) -> BookedRefund:
    return BookedRefund(amount=Decimal(amount), psp_id=psp_id, booked_on=None)


def adoption(
    psp_id: str, amount: str, standing: MovementStatus = MovementStatus.BOOKED
) -> ExternalMovement:
    return ExternalMovement(psp_id=psp_id, amount=Decimal(amount), currency="EUR", status=standing)


AFTERMATH: Steps = {
    "paid, again": told(approved(paid())),
    "pending, overtaken": told(pending()),
    "charged back": told(approved(BACK)),
    "charged back again": told(approved(paid(), BACK, MORE_BACK)),
    "first refund done": lambda s: s.close_reservation("r1", refund_done("re_1", "3.00"), LATER),
    "first refund seen at the PSP": lambda s: s.record_external_movement(
        adoption("re_1", "3.00"), LATER
    ),
    "second refund failed": lambda s: s.close_reservation("r2", None, LATER),
    "refund of the dashboard": lambda s: s.record_external_movement(
        adoption("re_9", "0.50"), LATER
    ),
}


def with_open_refunds() -> PaymentState:
    state = succeeded_payment()
    assert state.reserve("r1", Decimal("3.00"), "EUR") is None
    assert state.reserve("r2", Decimal("2.00"), "EUR") is None
    return state


def test_the_order_of_refunds_and_chargebacks_does_not_matter() -> None:
    explored = merged(with_open_refunds(), AFTERMATH, 10)
    assert explored.histories == 1_227_133_512
    assert explored.closed
    assert explored.undecided_by_facts() == []


def test_all_that_can_happen_to_a_payment_adds_up() -> None:
    (end,) = merged(with_open_refunds(), AFTERMATH, 8).ends[frozenset(AFTERMATH)]
    sums = (Decimal("10.00"), Decimal("3.50"), Decimal("3.50"))
    left = (Decimal("3.00"), Decimal("3.00"))
    assert end[3:] == (sums, left, ("psp:re_9", "r1"), ())


# --- proofs against each other ------------------------------------------------------------------


@pytest.mark.parametrize("status", [Status.Failed, Status.Cancelled, Status.Expired])
@pytest.mark.parametrize(
    ("start", "money"),
    [(payment(), paid()), (refund(), fact(FactKind.REFUNDED))],
    ids=["payment", "refund"],
)
def test_a_person_is_asked_whichever_of_two_contradicting_proofs_comes_first(
    start: AnyState, money: Any, status: Status
) -> None:
    steps = {
        "pending": told(pending()),
        "approved": told(approved(money)),
        "declined": told(declined(status)),
    }
    explored = merged(start, steps, 8)
    assert explored.closed
    for happened, attention in explored.attention.items():
        assert attention == {{"approved", "declined"} <= happened}


# --- a preauth that ends ------------------------------------------------------------------------

VOIDED = told(declined(Status.Cancelled))
EXPIRED = told(declined(Status.Expired))


@pytest.mark.parametrize("status", [Status.Cancelled, Status.Expired])
def test_a_reservation_that_ended_is_over_whatever_arrives_late(status: Status) -> None:
    steps = {**AUTHORIZED, "ended": told(ended(status))}
    explored = merged(preauth(), steps, 9)
    assert explored.closed
    for happened, ends in explored.ends.items():
        if {"authorized", "ended"} <= happened:
            assert {end[0] for end in ends} == {status}


@pytest.mark.parametrize("status", [Status.Cancelled, Status.Expired])
def test_a_reservation_that_ended_shows_its_amount_in_every_order(status: Status) -> None:
    explored = merged(preauth(), {**AUTHORIZED, "ended": told(ended(status))}, 6)
    assert explored.undecided_by_facts() == []


# --- two commands at once -----------------------------------------------------------------------


@dataclass
class Run:
    """A state and the commands it has granted so far."""

    state: Any
    granted: frozenset[str] = frozenset()


Part = tuple[str, Callable[[Run], object]]


def interleaved(*lines: Sequence[Part]) -> Iterator[list[Part]]:
    """Every order of all parts that keeps each line's own order."""
    if not any(lines):
        yield []
    for number, line in enumerate(lines):
        if line:
            rest = [*lines[:number], line[1:], *lines[number + 1 :]]
            yield from ([line[0], *others] for others in interleaved(*rest))


def reserving(by: str, amount: str) -> Part:
    def reserve(run: Run) -> None:
        if run.state.reserve(by, Decimal(amount), "EUR") is None:
            run.granted |= {by}

    return f"reserve {by}", reserve


def settling(by: str, settle: Callable[[Any], object]) -> Part:
    """Only who was granted the money moves any."""
    return f"settle {by}", lambda run: settle(run.state) if by in run.granted else None


def reporting(name: str, step: Step) -> Part:
    return name, lambda run: step(run.state)


def refunding(by: str, amount: str, done: bool = True) -> list[Part]:
    booking = booked(amount) if done else None
    settle = settling(by, lambda state: state.close_reservation(by, booking, LATER))
    return [reserving(by, amount), reserving(by, amount), settle, settle]


def capturing(by: str, done: bool = True) -> list[Part]:
    settle = settling(by, lambda state: state.close_reservation(by, booked=done))
    return [reserving(by, "10.00"), reserving(by, "10.00"), settle]


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

    return [("begin void", begin), settling("cancel", end)]


def played(start: Callable[[], AnyState], *lines: Sequence[Part]) -> list[Run]:
    """How every interleaving ended."""
    runs = []
    for order in interleaved(*lines):
        run = Run(start())
        for _name, step in order:
            step(run)
        runs.append(run)
    return runs


def decided_by_what_was_granted(runs: Sequence[Run]) -> bool:
    """Whether the end depends on nothing but which commands were let through."""
    ends: dict[frozenset[str], set[View]] = defaultdict(set)
    for run in runs:
        ends[run.granted].add(frozen(view(run.state)))
    return all(len(found) == 1 for found in ends.values())


PAID_AGAIN = [reporting("paid, again", told(approved(paid())))]
TAKEN_BACK = [reporting("charged back", told(approved(charged_back("cb_1", "1.00"))))]


def test_of_two_refunds_that_are_too_much_together_one_is_granted_in_every_order() -> None:
    lines = (refunding("r1", "6.00"), refunding("r2", "6.00"), PAID_AGAIN, TAKEN_BACK)
    runs = played(succeeded_payment, *lines)
    assert len(runs) == 6_300
    assert {run.granted for run in runs} == {frozenset({"r1"}), frozenset({"r2"})}
    assert decided_by_what_was_granted(runs)
    assert {(run.state.refunded, run.state.available) for run in runs} == {
        (Decimal("6.00"), Decimal("3.00"))
    }


def test_two_refunds_that_fit_are_both_done_in_every_order() -> None:
    lines = (refunding("r1", "6.00"), refunding("r2", "3.00"), TAKEN_BACK)
    runs = played(succeeded_payment, *lines)
    assert len(runs) == 630
    assert {run.granted for run in runs} == {frozenset({"r1", "r2"})}
    assert decided_by_what_was_granted(runs)
    assert runs[0].state.available == 0


def test_a_refund_that_fails_beside_another_leaves_nothing_held() -> None:
    lines = (refunding("r1", "6.00", done=False), refunding("r2", "6.00"), PAID_AGAIN)
    runs = played(succeeded_payment, *lines)
    assert len(runs) == 630
    assert decided_by_what_was_granted(runs)
    assert all(run.state.reservations == {} for run in runs)
    assert {run.state.refunded for run in runs} == {Decimal(0), Decimal("6.00")}


STALE = [reporting("authorized, again", told(approved(held())))]
LAPSED = [reporting("expired", EXPIRED)]


def test_of_a_capture_and_a_cancellation_one_is_granted_in_every_order() -> None:
    runs = played(succeeded_preauth, capturing("c1"), cancelling(), STALE, STALE)
    assert len(runs) == 420
    assert {run.granted for run in runs} == {frozenset({"c1"}), frozenset({"cancel"})}
    assert decided_by_what_was_granted(runs)
    for run in runs:
        assert run.state.captured is (run.granted == {"c1"})
        assert run.state.status is (Status.Succeeded if run.state.captured else Status.Cancelled)


@pytest.mark.parametrize("captured", [True, False])
@pytest.mark.parametrize("confirmed", [True, False])
def test_no_money_is_both_captured_and_given_back(captured: bool, confirmed: bool) -> None:
    lines = (capturing("c1", captured), capturing("c2", captured), cancelling(confirmed))
    runs = played(succeeded_preauth, *lines)
    assert len(runs) == 560
    for run in runs:
        assert not (run.state.captured and run.state.status is Status.Cancelled)
        assert not (run.state.captured_by and run.state.cancelling)
        assert run.state.captured is (captured and bool(run.granted & {"c1", "c2"}))


def test_a_reservation_that_expired_is_not_captured_in_any_order() -> None:
    runs = played(succeeded_preauth, capturing("c1", done=False), LAPSED, LAPSED, STALE)
    # A lapse told while the capture holds the reservation is asked for again when it lets go.
    assert {run.state.status for run in runs} <= {Status.Expired, Status.Succeeded}
    assert all(run.state.captured_by is None for run in runs)
    assert not any(run.state.captured for run in runs)


def test_a_capture_that_was_done_counts_whenever_the_rest_expires() -> None:
    for run in played(succeeded_preauth, capturing("c1"), LAPSED, LAPSED, STALE):
        assert run.state.captured is ("c1" in run.granted)
        assert run.state.is_final


def test_a_captured_preauth_looks_the_same_whenever_the_rest_expires() -> None:
    assert decided_by_what_was_granted(played(succeeded_preauth, capturing("c1"), LAPSED, STALE))


# --- the same through the workflows' messages ---------------------------------------------------


def elsewhere(harness: WorkflowHarness) -> WorkflowHarness:
    """The same harness with another transaction."""
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
        "pending, overtaken": NotificationResult(outcome=pending(), event_id="evt_0"),
    }

    async def play(order: Sequence[str]) -> View:
        here = elsewhere(harness)
        start = here.payment()
        state = await here.create(start)
        resumed = start.model_copy(update={"resume": state})
        reserve = partial(here.client.reserve, resumed)
        replies = await asyncio.gather(
            reserve(request("r1", "6.00")),
            reserve(request("r1", "6.00")),
            reserve(request("r2", "6.00")),
        )
        granted = next(by for by, r in zip("112", replies, strict=True) if r.refusal is None)
        for name in order:
            message = messages[name]
            if isinstance(message, NotificationResult):
                await here.notify(resumed, message)
            else:
                by = message.model_copy(update={"by": f"r{granted}"})
                await here.client.close_reservation(resumed, by)
        found = await settled_down(here)
        assert set(found.refunds) == {f"r{granted}"}
        return (found.status, found.paid, found.refunded, found.refundable, found.available)

    async def settled_down(here: WorkflowHarness) -> PaymentState:
        while True:
            state: PaymentState = await here.state(TransactionKind.PAYMENT)
            if state.refunds and state.total(FactKind.CHARGED_BACK):
                return state
            await asyncio.sleep(0.05)

    # Of two equal messages it does not matter which is first.
    orders = [
        order
        for order in permutations(messages)
        if order.index("r1") < order.index("r1 again")
        and order.index("charged back") < order.index("charged back again")
    ]
    assert len(orders) == 30
    ends = set(await asyncio.gather(*map(play, orders)))
    euros = [Decimal(amount) for amount in ("10.00", "6.00", "3.00", "3.00")]
    assert ends == {(Status.Succeeded, *euros)}


@pytest.mark.parametrize("first", ["capture", "cancel", "both"])
async def test_a_capture_and_a_cancellation_exclude_each_other_in_the_workflow(
    harness: WorkflowHarness, first: str
) -> None:
    harness.answers[activity_plans.AUTHORIZE.name] = [reservation()]
    voided = PspReply(outcome=Approved(psp_id="auth_1"), evidence=EvidenceKind.ANSWER)
    harness.answers[activity_plans.VOID.name] = [voided]

    async def play() -> tuple[bool, bool, Status]:
        here = elsewhere(harness)
        start = here.preauth()
        resumed = start.model_copy(update={"resume": await here.create(start)})
        gate = asyncio.Event()

        async def capture() -> bool:
            await (gate.wait() if first == "cancel" else asyncio.sleep(0))
            answer = await here.client.reserve(resumed, request("c1", "10.00"))
            gate.set()
            return answer.refusal is None

        async def cancel() -> bool:
            await (gate.wait() if first == "capture" else asyncio.sleep(0))
            answer = await here.client.cancel(resumed)
            gate.set()
            return answer.refusal is None

        captured, cancelled = await asyncio.gather(capture(), cancel())
        state: PreauthState = await here.state(TransactionKind.PREAUTH)
        return captured, cancelled, state.status

    ends = set(await asyncio.gather(*(play() for _ in range(6))))
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
