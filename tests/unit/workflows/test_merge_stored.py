"""Merge of the stored state into that of a workflow which an operator has rewound.

Generated: a run, a prefix of it as the rewound state, and different continuations of both. After
the rewinding a part of the messages comes again (reapplied by Temporal), then new ones.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from integrator.contract.enums import PaymentErrorCode, PublicPaymentProviderRole
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.types import Approved, Declined, Fact, FactKind, Pending, RedirectRequired
from workflows.state import (
    AnyState,
    AttemptCheck,
    BookedRefund,
    Decision,
    DecisionKind,
    Evidence,
    EvidenceKind,
    ExternalMovement,
    MovementStatus,
    PaymentState,
    PreauthState,
    RefundState,
    TransactionKind,
)

T0 = datetime(2026, 1, 15, 9, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
TEN, FOUR = Decimal("10.00"), Decimal("4.00")
KINDS = list(TransactionKind)


def new_state(kind: TransactionKind) -> AnyState:
    common: dict[str, Any] = {
        "transaction_id": "20260115-65a7f1c2c2d3e4f506172a02",
        "external_id": "e" * 24,
        "role": PublicPaymentProviderRole.CreditCard,
        "currency": "EUR",
        "requested_amount": TEN,
        "last_updated": T0,
    }
    if kind is TransactionKind.PREAUTH:
        return PreauthState(**common)
    if kind is TransactionKind.PAYMENT:
        return PaymentState(**common)
    return RefundState(**common, payment_id="p1")


def copy(state: AnyState) -> AnyState:
    """Return the state as the store returns it."""
    return type(state).model_validate_json(state.model_dump_json())


@dataclass
class Run:
    """One run of a transaction; `ends` says by attempt when it began and whether it has ended."""

    state: AnyState
    ends: dict[str, tuple[datetime, bool]] = field(default_factory=dict)
    booked: set[str] = field(default_factory=set)

    def copy(self) -> "Run":
        return Run(copy(self.state), dict(self.ends), set(self.booked))

    def apply(self, event: "Event") -> None:
        actions: list[Callable[[Any, datetime, int], None]] = [
            *(self.approve, self.pending, self.decline, self.flag, self.acknowledge),
            *(self.decide, self.mark_pending),
        ]
        if isinstance(self.state, PaymentState):
            actions += [self.charge_back, self.reserve, self.close, self.external]
        elif isinstance(self.state, PreauthState):
            actions += [self.redirect, self.reserve, self.close, self.external, self.void]
        actions[event.action % len(actions)](self.state, event.at, event.number)

    def approve(self, state: AnyState, at: datetime, number: int) -> None:
        fact = Fact(kind=state.movement_kind, id="ch_1", amount=TEN)
        state.apply(Approved(psp_id="ch_1", facts=(fact,)), evidence(at))

    def pending(self, state: AnyState, at: datetime, number: int) -> None:
        state.apply(Pending(psp_id="ch_1"), evidence(at))

    def decline(self, state: AnyState, at: datetime, number: int) -> None:
        status = (Status.Failed, Status.Cancelled, Status.Expired)[number % 3]
        kind = EvidenceKind.NOT_SENT if number == 0 else EvidenceKind.READ
        declined = Declined(code=PaymentErrorCode.Rejected, status=status)
        state.apply(declined, Evidence(kind=kind, source="decline", at=at))

    def flag(self, state: AnyState, at: datetime, number: int) -> None:
        state.flag_attention(f"line {number}", again=True)

    def acknowledge(self, state: AnyState, at: datetime, number: int) -> None:
        self._decide(state, Decision(kind=DecisionKind.ACKNOWLEDGE, by="o", reason="r", at=at))

    def decide(self, state: AnyState, at: datetime, number: int) -> None:
        """Decide that it failed, or succeeded, under the PSP's id or under another one."""
        kind = DecisionKind.FAILED if number == 0 else DecisionKind.SUCCEEDED
        psp_id, amount = (None, None) if number == 0 else (f"ch_{number}", TEN)
        self._decide(
            state, Decision(kind=kind, by="o", reason="r", at=at, psp_id=psp_id, amount=amount)
        )

    def _decide(self, state: AnyState, decision: Decision) -> None:
        if state.check_decision(decision) is None:
            state.apply_decision(decision)

    def mark_pending(self, state: AnyState, at: datetime, number: int) -> None:
        state.mark_pending(at)

    def charge_back(self, state: PaymentState, at: datetime, number: int) -> None:
        fact = Fact(kind=FactKind.CHARGED_BACK, id=f"cb_{number}", amount=Decimal(number + 1))
        state.apply(Approved(psp_id="ch_1", facts=(fact,)), evidence(at))

    def reserve(self, state: PaymentState | PreauthState, at: datetime, number: int) -> None:
        by = f"t{number}"
        if state.check_attempt(by, at) is not AttemptCheck.GRANTED:
            return
        amount = FOUR if isinstance(state, PaymentState) else TEN
        refused = state.reserve(by, amount, "EUR") is not None
        if by not in self.booked:
            self.ends[by] = (at, refused)

    def close(self, state: PaymentState | PreauthState, at: datetime, number: int) -> None:
        """Close a reservation, in the attempt that made it or after it."""
        by, booked = f"t{number}", at.minute % 2 == 0
        if by not in self.ends:
            return
        began = state.attempts[by] if at.minute % 3 else at
        if not state.accepts_result(by, began, booked=booked):
            return
        if isinstance(state, PaymentState):
            refund = BookedRefund(amount=FOUR, psp_id=f"re_{number}", booked_on=None)
            state.close_reservation(by, refund if booked else None, at)
        else:
            state.close_reservation(by, booked)
        self.ends[by] = (max(began, self.ends[by][0]), True)
        if booked:
            self.booked.add(by)

    def external(self, state: PaymentState | PreauthState, at: datetime, number: int) -> None:
        """Record an external movement, perhaps of a refund of ours that has not ended yet."""
        status = list(MovementStatus)[at.minute % 3]
        amount = FOUR if isinstance(state, PaymentState) else TEN
        movement = ExternalMovement(
            psp_id=f"re_{number}", amount=amount, currency="EUR", status=status
        )
        state.record_external_movement(movement, at)

    def redirect(self, state: PreauthState, at: datetime, number: int) -> None:
        state.apply(RedirectRequired(psp_id="cs_1", expires_at=at + MINUTE), evidence(at))

    def void(self, state: PreauthState, at: datetime, number: int) -> None:
        if not state.cancelling:
            if state.check_cancel() is None and not state.ended:
                state.begin_void()
        elif number == 0:
            state.accept_void(at)
        else:
            state.end_void()


@dataclass(frozen=True)
class Event:
    action: int
    number: int
    at: datetime = T0


def evidence(at: datetime) -> Evidence:
    return Evidence(kind=EvidenceKind.NOTIFICATION, source="event", at=at)


@dataclass(frozen=True)
class Pair:
    """The rewound run with what it went on with, and the one that the store holds."""

    own: Run
    stored: Run


EVENTS = st.builds(Event, action=st.integers(0, 59), number=st.integers(0, 2))


@st.composite
def pairs(draw: st.DrawFn, kind: TransactionKind) -> Pair:
    """Generate a rewound run and a stored one; success comes early in most of them."""
    clock = (T0 + number * MINUTE for number in range(1, 1000))
    begin = [Event(0, 0)] if draw(st.booleans()) else []
    events = _at(clock, begin + draw(st.lists(EVENTS, max_size=14)))
    position = draw(st.integers(0, len(events)))
    stored = Run(new_state(kind))
    own = stored.copy()
    for number, event in enumerate(events):
        if number == position:
            own = stored.copy()
        stored.apply(event)
    lost = events[position:]
    reapplied = draw(st.sampled_from([[], lost, lost[::2]])) if lost else []
    for event in [*reapplied, *_at(clock, draw(st.lists(EVENTS, max_size=8)))]:
        own.apply(event)
    return Pair(own, stored)


def _at(clock: Iterator[datetime], events: list[Event]) -> list[Event]:
    return [Event(event.action, event.number, next(clock)) for event in events]


@dataclass(frozen=True)
class Merge:
    """A merge: the two states before, the result, and whether it says it differs visibly."""

    pair: Pair
    own: Any
    stored: Any
    result: Any
    changed_visibly: bool
    now: datetime = T0 + 1000 * MINUTE


def merge(pair: Pair) -> Merge:
    result, stored = copy(pair.own.state), copy(pair.stored.state)
    changed = result.merge_stored(stored, Merge.now)  # type: ignore[arg-type]
    assert stored == pair.stored.state
    return Merge(pair, pair.own.state, pair.stored.state, copy(result), changed)


def content(state: AnyState) -> dict[str, Any]:
    return state.model_dump(exclude={"version", "last_updated"})


examples = settings(
    deadline=None, max_examples=80, suppress_health_check=[HealthCheck.data_too_large]
)
each_kind = pytest.mark.parametrize("kind", KINDS)


@each_kind
@examples
@given(data=st.data())
def test_the_version_is_above_both_unless_nothing_was_added(
    kind: TransactionKind, data: st.DataObject
) -> None:
    merged = merge(data.draw(pairs(kind)))
    if content(merged.result) == content(merged.stored):
        assert merged.result == merged.stored
        assert not merged.changed_visibly
        return
    assert merged.result.version > max(merged.own.version, merged.stored.version)
    visible = merged.result._visible_fields() != merged.stored._visible_fields()
    assert merged.changed_visibly is visible
    assert (merged.result.last_updated > merged.stored.last_updated) is visible


@each_kind
@examples
@given(data=st.data())
def test_a_repeated_merge_adds_nothing(kind: TransactionKind, data: st.DataObject) -> None:
    merged = merge(data.draw(pairs(kind)))
    recorded = copy(merged.result)
    assert recorded.merge_stored(copy(merged.result), merged.now) is False  # type: ignore[arg-type]
    assert recorded == merged.result
    again = copy(merged.result)
    again.merge_stored(copy(merged.stored), merged.now)  # type: ignore[arg-type]
    assert content(again) == content(merged.result)


@each_kind
@examples
@given(data=st.data())
def test_facts_and_attention_of_both_are_kept(kind: TransactionKind, data: st.DataObject) -> None:
    merged = merge(data.draw(pairs(kind)))
    stored, own, result = merged.stored, merged.own, merged.result
    assert reported_facts(stored) <= set(result.facts)
    if not stored.ended and result.status is not Status.Expired:
        assert reported_facts(own) <= set(result.facts)
    assert result.total(result.movement_kind) <= TEN
    acknowledged = {line for d in stored.decisions for line in d.acknowledged}
    assert set(stored.attention_lines) <= set(result.attention_lines)
    assert set(own.attention_lines) <= set(result.attention_lines) | acknowledged
    for source in [*result.fact_sources.values(), result.evidence]:
        assert source is None or known_decision(result, source)


def reported_facts(state: AnyState) -> set[str]:
    """Return the ids of facts that the PSP reported: those decided are replaced by them."""
    return {
        id
        for id in state.facts
        if id not in state.fact_sources or state.fact_sources[id].kind is not EvidenceKind.DECISION
    }


def known_decision(state: AnyState, source: Evidence) -> bool:
    decision = state.find_decision(source)
    return decision is None or decision.kind is not DecisionKind.ACKNOWLEDGE


@each_kind
@examples
@given(data=st.data())
def test_an_outcome_is_never_lost(kind: TransactionKind, data: st.DataObject) -> None:
    merged = merge(data.draw(pairs(kind)))
    if not merged.stored.undecided:
        assert not merged.result.undecided
    elif not merged.own.undecided:
        failed_unsent = (
            merged.own.status is Status.Failed
            and merged.own.evidence.kind is EvidenceKind.NOT_SENT
            and merged.stored.answered
        )
        assert failed_unsent or merged.result.status is merged.own.status
    assert merged.result.answered >= max(merged.own.answered, merged.stored.answered)


@examples
@given(pair=pairs(TransactionKind.PAYMENT))
def test_refunds_of_both_are_kept_and_count_once(pair: Pair) -> None:
    merged = merge(pair)
    ours = {id for state in (merged.own, merged.stored) for id in state.refunds if id[0] == "t"}
    assert {id for id in merged.result.refunds if id[0] == "t"} == ours
    ids = [refund.psp_id for refund in merged.result.refunds.values()]
    assert len(ids) == len(set(ids))
    removed = {id for id in merged.own.refunds if id[0] == "p"} - set(merged.result.refunds)
    for id in removed:
        taken_as_ours = merged.own.refunds[id].psp_id in ids
        assert taken_as_ours or merged.own.fact_sources[id].at <= merged.stored.last_updated


@examples
@given(pair=pairs(TransactionKind.PAYMENT))
def test_a_refund_s_reservation_is_open_if_its_latest_attempt_is(pair: Pair) -> None:
    merged = merge(pair)
    booked = pair.own.booked | pair.stored.booked
    open_attempts = {by for by in latest_open(pair) if by not in booked}
    assert {by for by in merged.result.reservations if by[0] == "t"} == open_attempts


def latest_open(pair: Pair) -> Iterator[str]:
    """Yield the attempts whose latest event is their beginning; of equal ones the end counts."""
    for by in pair.own.ends.keys() | pair.stored.ends.keys():
        events = [run.ends[by] for run in (pair.own, pair.stored) if by in run.ends]
        if not max(events)[1]:
            yield by


@examples
@given(pair=pairs(TransactionKind.PREAUTH))
def test_a_preauth_s_holder_is_the_latest_open_capture_or_the_booked_one(pair: Pair) -> None:
    merged = merge(pair)
    result, holder = merged.result, merged.result.captured_by
    if merged.stored.captured:
        assert (result.captured, holder) == (True, merged.stored.captured_by)
    if merged.own.captured and merged.stored.captured_by in (None, merged.own.captured_by):
        assert (result.captured, holder) == (True, merged.own.captured_by)
    open_attempts = set(latest_open(pair))
    if holder is not None and not result.captured and holder[0] == "t":
        assert holder in open_attempts
    held = {state.captured_by for state in (merged.own, merged.stored)} & open_attempts
    assert holder is not None or not held


def test_a_release_at_the_end_is_merged_as_one_and_a_cancellation_as_a_cancellation() -> None:
    for own_expires, stored_expires, expires in (
        (True, None, True),
        (True, True, True),
        (False, None, False),
        (True, False, False),
        (False, True, False),
    ):
        own, stored = new_state(TransactionKind.PREAUTH), new_state(TransactionKind.PREAUTH)
        assert isinstance(own, PreauthState)
        assert isinstance(stored, PreauthState)
        own.begin_void(expiring=own_expires)
        if stored_expires is not None:
            stored.begin_void(expiring=stored_expires)
        own.merge_stored(stored, T0)
        assert (own.cancelling, own.expiring) == (True, expires)


@examples
@given(pair=pairs(TransactionKind.PREAUTH))
def test_a_void_that_has_ended_does_not_come_back(pair: Pair) -> None:
    merged = merge(pair)
    result = merged.result
    assert result.voids == max(merged.own.voids, merged.stored.voids)
    latest = [s for s in (merged.own, merged.stored) if s.voids == result.voids]
    if result.cancelling:
        assert any(state.cancelling for state in latest)
        assert result.captured_by is None
    assert not (result.void_accepted_at and not result.cancelling)
