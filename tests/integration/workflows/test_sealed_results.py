"""Results of activities that no worker sealed are no evidence: the PSP is asked, or it is repeated.

They come from `temporal activity complete` and `fail`, whose payloads are not encrypted.
"""

import os
from collections import Counter
from typing import Any

import pytest
from temporalio.api.common.v1 import Payload
from temporalio.api.failure.v1 import Failure
from temporalio.exceptions import ApplicationError

from integrator.crypto.keys import KeyRing
from integrator.psp.types import FactKind
from integrator.temporal.payload_codec import encrypting_converter
from tests.integration.workflows.activation_engine import START, Engine, PendingActivity
from tests.integration.workflows.conftest import approved
from tests.integration.workflows.message_scenarios import (
    COMMON,
    CONVERTER,
    LIVES,
    LONGEST_LIFE,
    LOOP,
    WEBHOOK,
    Life,
)
from tests.support.key_ids import FakeKeyIds
from workflows import activity_plans
from workflows.activity_plans import UNSEALED_IS_NO_EVIDENCE
from workflows.messages import CALLER_DETACHED, CREATE, DELIVERY, PspFailure, RefundInput
from workflows.refund import RefundWorkflow
from workflows.state import EvidenceKind

STRANGER = encrypting_converter(KeyRing({"stranger": os.urandom(32)}), FakeKeyIds())


def plain(value: Any) -> Payload:
    """Return a result as `temporal activity complete --result` sends it."""
    (payload,) = CONVERTER.payload_converter.to_payloads([value])
    return payload


def failed_by_hand(failure_type: str = "") -> Failure:
    """Return the failure that `temporal activity fail` leads to."""
    failure = Failure(message="Activity task failed")
    failure.activity_failure_info.scheduled_event_id = 5
    failure.cause.message = "by hand"
    failure.cause.source = "CLI"
    failure.cause.application_failure_info.non_retryable = True
    failure.cause.application_failure_info.type = failure_type
    details = failure.cause.application_failure_info.details
    details.payloads.append(Payload(metadata={"encoding": b"binary/foo"}, data=b"?"))
    return failure


def timed_out_with(cause: Failure) -> Failure:
    failure = Failure(message="Activity task timed out")
    failure.activity_failure_info.scheduled_event_id = 5
    failure.cause.timeout_failure_info.SetInParent()
    failure.cause.cause.CopyFrom(cause)
    return failure


def cancelled_by_hand() -> Failure:
    failure = failed_by_hand()
    failure.cause.canceled_failure_info.SetInParent()
    return failure


def unreadable() -> Payload:
    (payload,) = LOOP.run_until_complete(STRANGER.encode([True]))
    return payload


TIMED_OUT = "timed out after a failure by hand"
ENDED_BY_HAND = {
    "completed with null": plain(None),
    "completed with nonsense": plain("?"),
    "completed with another encoding": Payload(metadata={"encoding": b"binary/foo"}),
    "completed with an unknown key": unreadable(),
    "failed": failed_by_hand(),
    "failed with the type of ours": failed_by_hand(PspFailure.CREDENTIALS),
    "failed as cancelled": cancelled_by_hand(),
    TIMED_OUT: timed_out_with(failed_by_hand().cause),
}


class Operator:
    """Answers of a life, except that the first execution of one activity is ended by hand."""

    def __init__(self, life: Life, activity: str, outcome: Any) -> None:
        self._answers = {name: list(results) for name, results in life.answers.items()}
        self._activity = activity
        self._outcome = outcome
        self.executed: Counter[str] = Counter()

    def answer(self, pending: PendingActivity) -> Any:
        self.executed[pending.name] += 1
        if not pending.local and pending.name == self._activity and self._outcome is not None:
            outcome, self._outcome = self._outcome, None
            return outcome
        results = self._answers[pending.name]
        return results.pop(0) if len(results) > 1 else results[0]

    @property
    def has_acted(self) -> bool:
        return self._outcome is None


def start(life: Life) -> Engine:
    engine = Engine(life.cls, life.start, CONVERTER, loop=LOOP)
    engine.update(CREATE)
    engine.signal(CALLER_DETACHED)
    return engine


def play(life: Life, operator: Operator) -> Engine:
    engine = start(life)
    for _ in range(LONGEST_LIFE):
        if not engine.step(operator.answer):
            break
    return engine


def paid_by_hand() -> Any:
    """Return what looks like the PSP's answer for each operation."""
    return plain(approved("made_up", psp_id="made_up"))


WRITES = [(LIVES[0], "charge"), (LIVES[1], "authorize"), (LIVES[2], "refund")]


@pytest.mark.parametrize(("life", "write"), WRITES, ids=[write for _, write in WRITES])
@pytest.mark.parametrize(
    "outcome", [paid_by_hand(), *ENDED_BY_HAND.values()], ids=["made up", *ENDED_BY_HAND]
)
def test_a_write_that_was_ended_by_hand_is_unknown_and_the_psp_is_asked(
    life: Life, write: str, outcome: Any
) -> None:
    operator = Operator(life, write, outcome)
    engine = play(life, operator)
    assert engine.result in {*life.ends, '"Expired"'}
    assert not any(b"made_up" in record for record in engine.records)
    assert operator.executed[write] + sum(map(operator.executed.get, LOOKUPS, [0] * 3)) > 1


LOOKUPS = ("fetch_payment", "fetch_authorization", "fetch_refund")


REPEATED = [
    (activity, how)
    for activity in ("settle_owner", "deliver_webhook", "record")
    for how in ENDED_BY_HAND
    if (activity, how) != ("deliver_webhook", TIMED_OUT)
]


@pytest.mark.parametrize(("activity", "how"), REPEATED)
def test_what_has_to_succeed_is_executed_again(activity: str, how: str) -> None:
    outcome = ENDED_BY_HAND[how]
    life = LIVES[2]
    operator = Operator(life, activity, outcome)
    engine = start(life)
    if activity == "record":
        # The regular activity takes over when the local one has failed.
        life = _with_slow_store(life)
        operator = Operator(life, activity, outcome)
    for _ in range(LONGEST_LIFE):
        if not engine.step(operator.answer):
            break
    assert engine.result == '"Succeeded"'
    assert operator.has_acted
    assert operator.executed[activity] >= 2


def test_an_announcement_whose_time_is_over_is_undelivered() -> None:
    """The server ends it: that is no doing of an operator."""
    life = LIVES[2]
    operator = Operator(life, "deliver_webhook", ENDED_BY_HAND[TIMED_OUT])
    engine = start(life)
    while not operator.has_acted:
        engine.step(operator.answer)
    assert b'"undelivered"' in engine.query(DELIVERY).query_result[0].data


def _with_slow_store(life: Life) -> Life:
    slow = ApplicationError("database is locked")
    answers = life.answers | {"record": [slow, True]}
    return Life(life.cls, life.start, answers, life.events, life.ends)


def test_a_repetition_waits_longer_and_longer() -> None:
    """It must not fill the history while something ends the activity again and again."""
    engine = _refund_until_its_reservation_is_closed()
    pauses = []
    for _ in range(12):
        (pending,) = engine.activities.values()
        assert pending.name == "settle_owner"
        before = engine.now
        engine.resolve(pending.seq, failed_by_hand())
        engine.fire_next_timer()
        pauses.append((engine.now - before).total_seconds())
    assert pauses[:3] == [11, 21, 41]
    assert pauses[-1] == activity_plans.MAX_UNSEALED_PAUSE.total_seconds() + 1


def _refund_until_its_reservation_is_closed() -> Engine:
    engine = Engine(RefundWorkflow, RefundInput(**COMMON, payment_id="p1"), CONVERTER, loop=LOOP)
    engine.update(CREATE)
    while not any(pending.name == "settle_owner" for pending in engine.activities.values()):
        engine.step(_refund_answer)
    while len(engine.activities) > 1:
        seq = next(seq for seq, one in engine.activities.items() if one.name != "settle_owner")
        engine.resolve(seq, _refund_answer(engine.activities[seq]))
    return engine


def _refund_answer(pending: PendingActivity) -> Any:
    if pending.name == "refund":
        return approved("re_1", kind=FactKind.REFUNDED)
    return WEBHOOK if pending.name == "deliver_webhook" else True


class TestOldHistories:
    """A history from before the rule continues with what it made of such a result."""

    def test_a_result_that_was_used_is_used_in_a_replay(self) -> None:
        engine = start(LIVES[0])
        made_up = approved("by_hand", evidence=EvidenceKind.ANSWER)
        (pending,) = (one for one in engine.activities.values() if one.name == "charge")
        old = Engine(LIVES[0].cls, LIVES[0].start, CONVERTER, loop=LOOP)
        old.replay(engine.history[1:])
        resolved = self._resolve(engine, pending.seq, plain(made_up))
        old.replay([resolved])
        assert "set_patch_marker" not in old.last
        assert b"by_hand" in old.state()

    def test_a_result_after_the_rule_stays_without_effect_in_a_replay(self) -> None:
        engine = play(LIVES[0], Operator(LIVES[0], "charge", paid_by_hand()))
        again = Engine(LIVES[0].cls, LIVES[0].start, CONVERTER, loop=LOOP)
        again.replay(engine.history[1:])
        assert again.records == engine.records
        assert UNSEALED_IS_NO_EVIDENCE in engine.patches

    def _resolve(self, engine: Engine, seq: int, outcome: Any) -> Any:
        engine.resolve(seq, outcome)
        return engine.history[-1]


def test_a_sealed_life_needs_no_patch() -> None:
    operator = Operator(LIVES[0], "none", None)
    engine = play(LIVES[0], operator)
    assert UNSEALED_IS_NO_EVIDENCE not in engine.patches
    assert engine.now > START
