"""Operators' decisions about a transaction, in the state and on a real server."""

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
from tests.integration.workflows.conftest import (
    WorkflowHarness,
    approved,
    eventually,
    time_skipping_disabled,
)
from tests.unit.workflows.test_state import T0, payment, preauth, refund
from workflows import activity_plans
from workflows.messages import NotificationResult, PspReply, ResolveReply, StoredState
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
NOT_FOUND = PspReply(outcome=None, evidence=EvidenceKind.READ)
PAID = approved("ch_1", psp_id="ch_1")


def decision(kind: DecisionKind, **fields: Any) -> Decision:
    common = {"by": "ops-7", "reason": "asked the PSP, ticket 4711", "at": LATER}
    return Decision(kind=kind, **(common | fields))


FAILED = decision(DecisionKind.FAILED)
SUCCEEDED = decision(DecisionKind.SUCCEEDED, psp_id="pi_1", amount=Decimal("10.00"))
ACKNOWLEDGED = decision(DecisionKind.ACKNOWLEDGE)


def with_evidence(outcome: Outcome) -> tuple[Outcome, Evidence]:
    at = LATER + timedelta(hours=1)
    return outcome, Evidence(kind=EvidenceKind.NOTIFICATION, source="evt_1", at=at)


def pending() -> PaymentState:
    state = payment()
    state.apply(Pending(psp_id=None), Evidence(kind=EvidenceKind.ANSWER, source="charge", at=T0))
    return state


class TestState:
    def test_a_decided_failure_is_a_failure_with_evidence(self) -> None:
        state = pending()
        assert state.apply_decision(FAILED) is Change.VISIBLE
        assert state.status is Status.Failed
        assert state.failure is not None
        assert state.failure.code is PaymentErrorCode.Rejected
        assert "4711" not in (
            state.failure.message or ""
        )  # the operator's reason is not sent to Billwerk+
        assert state.evidence is not None
        assert state.evidence.kind is EvidenceKind.DECISION
        assert state.find_decision(state.evidence) == FAILED

    @pytest.mark.parametrize("make", [payment, refund])
    def test_a_decided_success_books_the_movement(self, make: Any) -> None:
        state: PaymentState | RefundState = make()
        assert state.apply_decision(SUCCEEDED) is Change.VISIBLE
        assert (state.status, state.psp_transaction_id) == (Status.Succeeded, "pi_1")
        assert state.total(state.movement_kind) == Decimal("10.00")
        assert state.fact_sources["pi_1"].kind is EvidenceKind.DECISION

    def test_a_repeated_decision_changes_nothing(self) -> None:
        state = pending()
        state.apply_decision(FAILED)
        again = FAILED.model_copy(update={"at": LATER + timedelta(days=1)})
        assert state.check_decision(again) is None
        assert state.apply_decision(again) is Change.NONE
        assert state.decisions == [FAILED]

    @pytest.mark.parametrize(
        ("state", "requested", "code"),
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
    def test_invalid_decisions_are_refused(
        self, state: Any, requested: Decision, code: str
    ) -> None:
        refusal = state.check_decision(requested)
        assert refusal is not None
        assert refusal.code.name == code

    def test_a_preauth_may_be_decided_as_failed(self) -> None:
        state = preauth()
        assert state.check_decision(FAILED) is None
        assert state.apply_decision(FAILED) is Change.VISIBLE
        assert state.status is Status.Failed

    def test_the_psps_fact_replaces_the_decided_one(self) -> None:
        state = pending()
        state.apply_decision(SUCCEEDED)
        assert isinstance(PAID.outcome, Approved)
        assert not state.already_includes(PAID.outcome)
        state.apply(*with_evidence(PAID.outcome))
        assert (state.paid, list(state.facts)) == (Decimal("10.00"), ["ch_1"])
        assert state.fact_sources["ch_1"].kind is EvidenceKind.NOTIFICATION
        assert "pi_1" not in state.fact_sources
        assert state.attention is None

    def test_another_amount_than_decided_asks_for_attention(self) -> None:
        state = pending()
        state.apply_decision(SUCCEEDED)
        less = Fact(kind=FactKind.PAID, id="ch_1", amount=Decimal("4.00"))
        state.apply(*with_evidence(Approved(psp_id="ch_1", facts=(less,))))
        assert state.paid == Decimal("4.00")
        assert state.attention is not None
        assert "4.00 EUR" in state.attention

    def test_a_wrong_failure_is_contradicted_once(self) -> None:
        state = pending()
        state.apply_decision(FAILED)
        assert state.apply(*with_evidence(PAID.outcome or Pending(psp_id=None))) is Change.INTERNAL
        assert state.status is Status.Failed
        assert state.attention == "The PSP reports Succeeded for a transaction that is Failed."
        state.apply_decision(ACKNOWLEDGED)
        assert state.attention is None
        assert state.decisions[-1].acknowledged == (
            "The PSP reports Succeeded for a transaction that is Failed.",
        )
        # Acknowledged: the same report must not flag attention in every reconciliation.
        assert isinstance(PAID.outcome, Approved)
        assert state.already_includes(PAID.outcome)

    def test_a_wrong_success_is_contradicted(self) -> None:
        state = pending()
        state.apply_decision(SUCCEEDED)
        state.apply(*with_evidence(Declined(code=PaymentErrorCode.Rejected)))
        assert state.status is Status.Succeeded
        assert state.attention == "The PSP reports Failed for a transaction that is Succeeded."

    def test_a_wrong_success_of_a_refund_did_not_give_the_money_back(self) -> None:
        state = refund()
        state.apply_decision(SUCCEEDED)
        state.apply(*with_evidence(Declined(code=PaymentErrorCode.Rejected)))
        assert state.refunded == 0
        assert state.attention is not None

    def test_a_repeated_problem_flags_attention_again(self) -> None:
        state = pending()
        state.flag_attention("A change notification could not be delivered.", again=True)
        state.apply_decision(ACKNOWLEDGED)
        assert state.flag_attention("Something known.") is Change.INTERNAL
        state.apply_decision(ACKNOWLEDGED)
        assert state.flag_attention("Something known.") is Change.NONE
        text = "A change notification could not be delivered."
        assert state.flag_attention(text, again=True) is Change.INTERNAL

    def test_a_snapshot_from_before_decisions_is_read(self) -> None:
        state = pending()
        old = state.model_dump_json(exclude={"decisions", "fact_sources"})
        assert read_state(PAYMENT, old) == state


async def resolve(harness: WorkflowHarness, start: Any, requested: Decision) -> ResolveReply:
    return await harness.client.resolve(start, requested)


async def test_a_payment_whose_outcome_stays_unknown_is_decided(harness: WorkflowHarness) -> None:
    harness.answers[activity_plans.CAPTURE.name] = [PENDING]
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [NOT_FOUND]
    start = harness.payment(preauth_id="a1")
    await harness.create(start)
    reply = await resolve(harness, start, FAILED)
    assert (reply.status, reply.refusal) == (Status.Failed, None)
    assert await harness.handle(PAYMENT).result() == "Failed"
    (call,) = harness.reservation_results
    assert (call.owner_kind, call.settlement.booked) == (TransactionKind.PREAUTH, False)
    assert harness.order.index("reservation closed") < harness.order.index("recorded Failed")
    assert len(harness.webhooks) == 1


async def test_a_decided_success_stops_the_attempts_that_would_take_the_money_again(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.CHARGE.name] = [
        ApplicationError("unavailable", type="PspUnavailable")
    ]
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [PAID]
    start = harness.payment()
    with time_skipping_disabled(harness.env):
        await harness.client.ensure_started(start)
        await harness.client.caller_detached("m", PAYMENT, harness.transaction_id)
        await eventually(lambda: harness.calls_of(activity_plans.CHARGE))
        reply = await resolve(harness, start, SUCCEEDED)
        attempts = len(harness.calls_of(activity_plans.CHARGE))
        assert (reply.status, reply.refusal) == (Status.Succeeded, None)
        # The effect of the last attempt is looked up and replaces the decision.
        await eventually(lambda: harness.calls_of(activity_plans.FETCH_PAYMENT))
        await eventually(lambda: len(harness.webhooks) >= 1)
        await asyncio.sleep(1.5)
    assert len(harness.calls_of(activity_plans.CHARGE)) == attempts
    state = await harness.state(PAYMENT)
    assert (state.paid, list(state.facts)) == (Decimal("10.00"), ["ch_1"])


async def test_an_unreleased_operation_is_not_sent_after_its_decision(
    harness: WorkflowHarness,
) -> None:
    start = harness.refund()
    state = refund(transaction_id=start.transaction_id)
    harness.stored = StoredState(snapshot=state.model_dump_json())
    with time_skipping_disabled(harness.env):
        await harness.client.ensure_started(start)
        reply = await resolve(harness, start, FAILED)
    assert reply.status is Status.Failed
    assert await harness.handle(REFUND).result() == "Failed"
    assert harness.calls_of(activity_plans.REFUND) == []


async def test_a_decision_is_refused_after_the_psps_outcome(harness: WorkflowHarness) -> None:
    harness.answers[activity_plans.CHARGE.name] = [PAID]
    start = harness.payment()
    await harness.create(start)
    reply = await resolve(harness, start, FAILED)
    assert reply.refusal is not None
    assert reply.status is Status.Succeeded
    assert (await harness.state(PAYMENT)).decisions == []


async def test_a_report_of_the_psp_during_a_decision_wins(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.CAPTURE.name] = [PENDING]
    start = harness.payment(preauth_id="a1")
    await harness.create(start)

    async def report_success() -> None:
        if len(harness.reservation_results) == 1:
            await harness.notify(start, NotificationResult(outcome=PAID.outcome, event_id="evt_1"))
            await harness.wait_for_status(PAYMENT, Status.Succeeded)

    harness.during_close_reservation = report_success
    reply = await resolve(harness, start, FAILED)
    assert reply.refusal is not None
    assert reply.status is Status.Succeeded
    state = await harness.state(PAYMENT)
    assert (state.decisions, state.attention) == ([], None)
    # The last result sent to the preauth is the valid one.
    assert [call.settlement.booked for call in harness.reservation_results] == [False, True]


async def test_a_repeated_decision_is_applied_once(harness: WorkflowHarness) -> None:
    harness.answers[activity_plans.REFUND.name] = [PENDING]
    start = harness.refund()
    state = await harness.create(start)
    done = decision(DecisionKind.SUCCEEDED, psp_id="re_1", amount=Decimal("10.00"))
    resumed = start.model_copy(update={"resume": state})
    first, second = [await resolve(harness, resumed, done) for _ in range(2)]
    assert (first.version, first.refusal) == (second.version, second.refusal)
    assert await harness.handle(REFUND).result() == "Succeeded"
    assert {call.settlement for call in harness.reservation_results} == {
        harness.reservation_results[0].settlement
    }
    stored = read_state(REFUND, harness.records[-1].snapshot)
    assert len(stored.decisions) == 1


async def test_a_wrong_decision_is_contradicted_by_a_notification_and_acknowledged(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.CHARGE.name] = [PENDING]
    start = harness.payment()
    state = await harness.create(start)
    resumed = start.model_copy(update={"resume": state})
    await resolve(harness, resumed, FAILED)
    await harness.handle(PAYMENT).result()

    # The workflow has closed: the notification opens it again.
    await harness.notify(resumed, NotificationResult(outcome=PAID.outcome, event_id="evt_1"))
    await eventually(lambda: read_state(PAYMENT, harness.records[-1].snapshot).attention)
    await harness.handle(PAYMENT).result()
    contradicted = read_state(PAYMENT, harness.records[-1].snapshot)
    assert contradicted.status is Status.Failed

    # So does the operator's acknowledgement.
    before = datetime.now(UTC)
    reply = await resolve(harness, resumed, ACKNOWLEDGED)
    assert reply.refusal is None
    await eventually(lambda: not read_state(PAYMENT, harness.records[-1].snapshot).attention)
    after = read_state(PAYMENT, harness.records[-1].snapshot)
    assert [item.kind for item in after.decisions] == [
        DecisionKind.FAILED,
        DecisionKind.ACKNOWLEDGE,
    ]
    assert after.decisions[-1].at >= before - timedelta(minutes=1)  # the workflow's own time
    assert len(harness.webhooks) == 1  # Billwerk+ sees nothing of the attention


async def test_a_finished_transaction_is_reopened_for_a_decision_and_stays_final(
    harness: WorkflowHarness,
) -> None:
    refused = Declined(code=PaymentErrorCode.Rejected)
    harness.answers[activity_plans.CHARGE.name] = [
        PspReply(outcome=refused, evidence=EvidenceKind.ANSWER),
    ]
    start = harness.payment()
    state = await harness.create(start)
    await harness.handle(PAYMENT).result()
    reply = await resolve(harness, start.model_copy(update={"resume": state}), SUCCEEDED)
    assert reply.refusal is not None
    assert reply.status is Status.Failed
    await harness.handle(PAYMENT).result()
