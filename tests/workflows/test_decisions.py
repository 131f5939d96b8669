"""What an operator may decide about a transaction, in the state and on a real server."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from integrator.contract.enums import PaymentErrorCode
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.types import Approved, Declined, Fact, FactKind, Outcome, Pending
from integrator.transactions.workflow_inputs import read_state
from tests.workflows.conftest import World, approved, eventually, standing_still
from tests.workflows.test_state import T0, payment, preauth, refund
from workflows import activity_plans
from workflows.messages import NotificationResult, PspReply, ResolveReply
from workflows.state import (
    Change,
    Decision,
    DecisionKind,
    Evidence,
    EvidenceKind,
    PaymentState,
    RefundState,
    TransactionKind,
)

PAYMENT = TransactionKind.PAYMENT
REFUND = TransactionKind.REFUND
LATER = T0 + timedelta(hours=1)
PENDING = PspReply(outcome=Pending(psp_id=None), evidence=EvidenceKind.ANSWER)
UNKNOWN_THERE = PspReply(outcome=None, evidence=EvidenceKind.READ)
PAID = approved("ch_1", psp_id="ch_1")


def decision(kind: DecisionKind, **given: Any) -> Decision:
    common = {"by": "ops-7", "reason": "asked the PSP, ticket 4711", "at": LATER}
    return Decision(kind=kind, **(common | given))


FAILED = decision(DecisionKind.FAILED)
SUCCEEDED = decision(DecisionKind.SUCCEEDED, psp_id="pi_1", amount=Decimal("10.00"))
ACKNOWLEDGED = decision(DecisionKind.ACKNOWLEDGE)


def told(outcome: Outcome) -> tuple[Outcome, Evidence]:
    at = LATER + timedelta(hours=1)
    return outcome, Evidence(kind=EvidenceKind.NOTIFICATION, source="evt_1", at=at)


def pending() -> PaymentState:
    state = payment()
    state.apply(Pending(psp_id=None), Evidence(kind=EvidenceKind.ANSWER, source="charge", at=T0))
    return state


class TestState:
    def test_a_decided_failure_is_a_failure_with_its_proof(self) -> None:
        state = pending()
        assert state.decide(FAILED) is Change.VISIBLE
        assert state.status is Status.Failed
        assert state.failure is not None
        assert state.failure.code is PaymentErrorCode.Rejected
        assert "4711" not in (state.failure.message or "")  # Billwerk+ is told no reason of ours
        assert state.evidence is not None
        assert state.evidence.kind is EvidenceKind.DECISION
        assert state.decision_behind(state.evidence) == FAILED

    @pytest.mark.parametrize("make", [payment, refund])
    def test_a_decided_success_books_the_movement(self, make: Any) -> None:
        state: PaymentState | RefundState = make()
        assert state.decide(SUCCEEDED) is Change.VISIBLE
        assert (state.status, state.psp_transaction_id) == (Status.Succeeded, "pi_1")
        assert state.total(state.movement) == Decimal("10.00")
        assert state.fact_sources["pi_1"].kind is EvidenceKind.DECISION

    def test_the_same_again_changes_nothing(self) -> None:
        state = pending()
        state.decide(FAILED)
        again = FAILED.model_copy(update={"at": LATER + timedelta(days=1)})
        assert state.refuse_decision(again) is None
        assert state.decide(again) is Change.NONE
        assert state.decisions == [FAILED]

    @pytest.mark.parametrize(
        ("state", "wanted", "code"),
        [
            (pending(), SUCCEEDED.model_copy(update={"psp_id": None}), "InvalidPreconditions"),
            (pending(), SUCCEEDED.model_copy(update={"amount": None}), "InvalidPreconditions"),
            (pending(), SUCCEEDED.model_copy(update={"amount": Decimal(9)}), "InvalidAmount"),
            (pending(), SUCCEEDED.model_copy(update={"amount": Decimal(100)}), "InvalidAmount"),
            (pending(), ACKNOWLEDGED, "InvalidPreconditions"),  # nothing asks for attention
            (payment(status=Status.Succeeded), FAILED, "InvalidPreconditions"),
            (payment(status=Status.Failed), SUCCEEDED, "InvalidPreconditions"),
            (preauth(), SUCCEEDED, "InvalidPreconditions"),  # what to charge comes from the PSP
        ],
    )
    def test_what_may_not_be_decided(self, state: Any, wanted: Decision, code: str) -> None:
        refusal = state.refuse_decision(wanted)
        assert refusal is not None
        assert refusal.code.name == code

    def test_a_preauth_may_be_given_up(self) -> None:
        state = preauth()
        assert state.refuse_decision(FAILED) is None
        assert state.decide(FAILED) is Change.VISIBLE
        assert state.status is Status.Failed

    def test_the_psps_own_fact_takes_the_place_of_the_decided_one(self) -> None:
        state = pending()
        state.decide(SUCCEEDED)
        assert isinstance(PAID.outcome, Approved)
        assert not state.already_includes(PAID.outcome)
        state.apply(*told(PAID.outcome))
        assert (state.paid, list(state.facts)) == (Decimal("10.00"), ["ch_1"])
        assert state.fact_sources["ch_1"].kind is EvidenceKind.NOTIFICATION
        assert "pi_1" not in state.fact_sources
        assert state.attention is None

    def test_another_amount_than_decided_asks_for_attention(self) -> None:
        state = pending()
        state.decide(SUCCEEDED)
        less = Fact(kind=FactKind.PAID, id="ch_1", amount=Decimal("4.00"))
        state.apply(*told(Approved(psp_id="ch_1", facts=(less,))))
        assert state.paid == Decimal("4.00")
        assert state.attention is not None
        assert "4.00 EUR" in state.attention

    def test_a_wrong_failure_is_contradicted_once(self) -> None:
        state = pending()
        state.decide(FAILED)
        assert state.apply(*told(PAID.outcome or Pending(psp_id=None))) is Change.INTERNAL
        assert state.status is Status.Failed
        assert state.attention == "The PSP reports Succeeded for a transaction that is Failed."
        state.decide(ACKNOWLEDGED)
        assert state.attention is None
        assert state.decisions[-1].acknowledged == (
            "The PSP reports Succeeded for a transaction that is Failed.",
        )
        # Seen and dealt with: the same report must not ask again with every comparison.
        assert isinstance(PAID.outcome, Approved)
        assert state.already_includes(PAID.outcome)

    def test_a_wrong_success_is_contradicted(self) -> None:
        state = pending()
        state.decide(SUCCEEDED)
        state.apply(*told(Declined(code=PaymentErrorCode.Rejected)))
        assert state.status is Status.Succeeded
        assert state.attention == "The PSP reports Failed for a transaction that is Succeeded."

    def test_a_wrong_success_of_a_refund_did_not_give_the_money_back(self) -> None:
        state = refund()
        state.decide(SUCCEEDED)
        state.apply(*told(Declined(code=PaymentErrorCode.Rejected)))
        assert state.refunded == 0
        assert state.attention is not None

    def test_what_happens_again_asks_again(self) -> None:
        state = pending()
        state.flag_attention("A change notification could not be delivered.", again=True)
        state.decide(ACKNOWLEDGED)
        assert state.flag_attention("Something known.") is Change.INTERNAL
        state.decide(ACKNOWLEDGED)
        assert state.flag_attention("Something known.") is Change.NONE
        text = "A change notification could not be delivered."
        assert state.flag_attention(text, again=True) is Change.INTERNAL

    def test_a_snapshot_of_before_decisions_is_read(self) -> None:
        state = pending()
        old = state.model_dump_json(exclude={"decisions", "fact_sources"})
        assert read_state(PAYMENT, old) == state


async def resolve(world: World, start: Any, wanted: Decision) -> ResolveReply:
    return await world.gateway.resolve(start, wanted)


async def test_a_payment_whose_outcome_stays_unknown_is_decided(world: World) -> None:
    world.answers[activity_plans.CAPTURE.name] = [PENDING]
    world.answers[activity_plans.FETCH_PAYMENT.name] = [UNKNOWN_THERE]
    start = world.payment(preauth_id="a1")
    await world.create(start)
    reply = await resolve(world, start, FAILED)
    assert (reply.status, reply.refusal) == (Status.Failed, None)
    assert await world.handle(PAYMENT).result() == "Failed"
    (call,) = world.settlements
    assert (call.owner_kind, call.settlement.booked) == (TransactionKind.PREAUTH, False)
    assert world.order.index("settled") < world.order.index("recorded Failed")
    assert len(world.webhooks) == 1


async def test_a_decided_success_stops_the_attempts_that_would_take_the_money_again(
    world: World,
) -> None:
    world.answers[activity_plans.CHARGE.name] = [ApplicationError("away", type="PspUnavailable")]
    world.answers[activity_plans.FETCH_PAYMENT.name] = [PAID]
    start = world.payment()
    with standing_still(world.env):
        await world.gateway.ensure_started(start)
        await world.gateway.caller_detached("m", PAYMENT, world.transaction_id)
        await eventually(lambda: world.called(activity_plans.CHARGE))
        reply = await resolve(world, start, SUCCEEDED)
        attempts = len(world.called(activity_plans.CHARGE))
        assert (reply.status, reply.refusal) == (Status.Succeeded, None)
        # What the last attempt may have done is looked up, and takes the decision's place.
        await eventually(lambda: world.called(activity_plans.FETCH_PAYMENT))
        await eventually(lambda: len(world.webhooks) >= 1)
        await asyncio.sleep(1.5)
    assert len(world.called(activity_plans.CHARGE)) == attempts
    state = await world.state(PAYMENT)
    assert (state.paid, list(state.facts)) == (Decimal("10.00"), ["ch_1"])


async def test_what_nobody_has_asked_for_yet_is_not_sent_after_its_decision(world: World) -> None:
    start = world.refund()
    with standing_still(world.env):
        await world.gateway.ensure_started(start)
        reply = await resolve(world, start, FAILED)
    assert reply.status is Status.Failed
    assert await world.handle(REFUND).result() == "Failed"
    assert world.called(activity_plans.REFUND) == []


async def test_a_decision_is_refused_once_the_psp_has_spoken(world: World) -> None:
    world.answers[activity_plans.CHARGE.name] = [PAID]
    start = world.payment()
    await world.create(start)
    reply = await resolve(world, start, FAILED)
    assert reply.refusal is not None
    assert reply.status is Status.Succeeded
    assert (await world.state(PAYMENT)).decisions == []


async def test_what_the_psp_says_while_a_decision_is_carried_out_comes_before_it(
    world: World,
) -> None:
    world.answers[activity_plans.CAPTURE.name] = [PENDING]
    start = world.payment(preauth_id="a1")
    await world.create(start)

    async def psp_speaks() -> None:
        if len(world.settlements) == 1:
            await world.notify(start, NotificationResult(outcome=PAID.outcome, event_id="evt_1"))
            await world.until(PAYMENT, Status.Succeeded)

    world.while_settling = psp_speaks
    reply = await resolve(world, start, FAILED)
    assert reply.refusal is not None
    assert reply.status is Status.Succeeded
    state = await world.state(PAYMENT)
    assert (state.decisions, state.attention) == ([], None)
    # Whatever reached the preauth last is the truth.
    assert [call.settlement.booked for call in world.settlements] == [False, True]


async def test_the_same_decision_twice_is_one(world: World) -> None:
    world.answers[activity_plans.REFUND.name] = [PENDING]
    start = world.refund()
    state = await world.create(start)
    done = decision(DecisionKind.SUCCEEDED, psp_id="re_1", amount=Decimal("10.00"))
    resumed = start.model_copy(update={"resume": state})
    first, second = [await resolve(world, resumed, done) for _ in range(2)]
    assert (first.version, first.refusal) == (second.version, second.refusal)
    assert await world.handle(REFUND).result() == "Succeeded"
    assert {call.settlement for call in world.settlements} == {world.settlements[0].settlement}
    stored = read_state(REFUND, world.records[-1].snapshot)
    assert len(stored.decisions) == 1


async def test_a_wrong_decision_is_contradicted_by_a_notification_and_acknowledged(
    world: World,
) -> None:
    world.answers[activity_plans.CHARGE.name] = [PENDING]
    start = world.payment()
    state = await world.create(start)
    resumed = start.model_copy(update={"resume": state})
    await resolve(world, resumed, FAILED)
    await world.handle(PAYMENT).result()

    # The workflow has closed: the notification opens it again.
    await world.notify(resumed, NotificationResult(outcome=PAID.outcome, event_id="evt_1"))
    await eventually(lambda: read_state(PAYMENT, world.records[-1].snapshot).attention)
    await world.handle(PAYMENT).result()
    contradicted = read_state(PAYMENT, world.records[-1].snapshot)
    assert contradicted.status is Status.Failed

    # And so does the operator who has looked at it.
    before = datetime.now(UTC)
    reply = await resolve(world, resumed, ACKNOWLEDGED)
    assert reply.refusal is None
    await eventually(lambda: not read_state(PAYMENT, world.records[-1].snapshot).attention)
    after = read_state(PAYMENT, world.records[-1].snapshot)
    assert [made.kind for made in after.decisions] == [
        DecisionKind.FAILED,
        DecisionKind.ACKNOWLEDGE,
    ]
    assert after.decisions[-1].at >= before - timedelta(minutes=1)  # the workflow's own time
    assert len(world.webhooks) == 1  # Billwerk+ sees nothing of the attention


async def test_a_finished_transaction_is_reopened_for_a_decision_and_stays_final(
    world: World,
) -> None:
    refused = Declined(code=PaymentErrorCode.Rejected)
    world.answers[activity_plans.CHARGE.name] = [
        PspReply(outcome=refused, evidence=EvidenceKind.ANSWER),
    ]
    start = world.payment()
    state = await world.create(start)
    await world.handle(PAYMENT).result()
    reply = await resolve(world, start.model_copy(update={"resume": state}), SUCCEEDED)
    assert reply.refusal is not None
    assert reply.status is Status.Failed
    await world.handle(PAYMENT).result()
