"""What the PSP reports after the success: money that comes back, doubtful facts, new mandates."""

from decimal import Decimal

import pytest

from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.types import Approved, Fact, FactKind, Outcome, Succession
from tests.integration.workflows.conftest import WorkflowHarness, approved, eventually
from workflows import activity_plans
from workflows.messages import NotificationResult, PspReply
from workflows.state import EvidenceKind, TransactionKind

PAYMENT, PREAUTH = TransactionKind.PAYMENT, TransactionKind.PREAUTH
TEN = Decimal("10.00")
CHARGED = approved("ch_1")
WITHDRAWN = Fact(kind=FactKind.CHARGED_BACK, id="cb_1", amount=TEN)
REINSTATED = Fact(kind=FactKind.CHARGEBACK_REVERSED, id="cbr_1", amount=TEN, reverses="cb_1")
CONTINUED = Succession(former_id="md_1", new_id="md_2")
DOUBT = "Not booked: the chargeback cb_9 of 130.00 USD is not in EUR."


def report(*facts: Fact) -> Outcome:
    return Approved(psp_id="psp_1", facts=facts)


def read(outcome: Outcome | None, *doubts: str) -> PspReply:
    return PspReply(outcome=outcome, evidence=EvidenceKind.READ, doubts=doubts)


async def wait_for_webhooks(harness: WorkflowHarness, count: int) -> None:
    await eventually(lambda: len(harness.webhooks) == count)


async def test_money_that_comes_back_is_announced_and_refundable(harness: WorkflowHarness) -> None:
    harness.answers[activity_plans.CHARGE.name] = [CHARGED]
    start = harness.payment()
    await harness.create(start)
    for number, fact in enumerate((WITHDRAWN, REINSTATED), 1):
        notice = NotificationResult(outcome=report(fact), event_id=f"evt_{number}")
        await harness.notify(start, notice)
        await wait_for_webhooks(harness, number)
        state = await harness.state(PAYMENT)
        assert state.refundable == (0 if fact is WITHDRAWN else TEN)
    assert state.status is Status.Succeeded
    # The same report again is no change: the next one makes one more version and announcement.
    lost = Fact(kind=FactKind.CHARGED_BACK, id="cb_2", amount=TEN)
    await harness.notify(start, notice)
    last = NotificationResult(outcome=report(lost), event_id="evt_3")
    await harness.notify(start, last)
    await wait_for_webhooks(harness, 3)
    after = await harness.state(PAYMENT)
    assert (after.version, after.charged_back) == (state.version + 1, TEN)


async def test_what_a_notification_leaves_open_is_asked_and_both_are_booked(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.CHARGE.name] = [CHARGED]
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [read(report(WITHDRAWN, REINSTATED))]
    start = harness.payment()
    await harness.create(start)
    notice = NotificationResult(outcome=report(REINSTATED), event_id="evt_1", fetch=True)
    await harness.notify(start, notice)
    await eventually(lambda: harness.calls_of(activity_plans.FETCH_PAYMENT))
    await eventually(lambda: "cb_1" in harness.records[-1].snapshot)
    state = await harness.state(PAYMENT)
    assert set(state.facts) == {"ch_1", "cb_1", "cbr_1"}
    assert (state.charged_back, state.refundable, state.attention) == (0, TEN, None)


@pytest.mark.parametrize("by_notification", [True, False])
async def test_a_fact_in_doubt_asks_an_operator_once_and_announces_nothing(
    harness: WorkflowHarness, by_notification: bool
) -> None:
    harness.answers[activity_plans.CHARGE.name] = [CHARGED]
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [read(report(), DOUBT)]
    start = harness.payment()
    await harness.create(start)
    notice = NotificationResult(
        outcome=report() if by_notification else None,
        event_id="evt_1",
        fetch=not by_notification,
        doubts=(DOUBT,) if by_notification else (),
    )
    for _ in range(2):
        await harness.notify(start, notice)
    await eventually(lambda: DOUBT in harness.records[-1].snapshot)
    state = await harness.state(PAYMENT)
    assert (state.attention, state.refundable) == (DOUBT, TEN)
    assert harness.webhooks == []


async def test_a_doubt_of_the_first_answer_asks_an_operator(harness: WorkflowHarness) -> None:
    pending = PspReply(outcome=report(), evidence=EvidenceKind.ANSWER, doubts=(DOUBT,))
    harness.answers[activity_plans.CHARGE.name] = [pending]
    state = await harness.create(harness.payment())
    assert (state.status, state.attention) == (Status.Pending, DOUBT)


async def test_a_closed_sign_up_announces_that_its_mandate_continues(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.AUTHORIZE.name] = [
        PspReply(outcome=Approved(psp_id="md_1"), evidence=EvidenceKind.ANSWER)
    ]
    start = harness.preauth(role=Role.Debit)
    state = await harness.create_recorded(start)
    await harness.handle(PREAUTH).result()
    outcome = Approved(psp_id=None, succession=CONTINUED)
    await harness.notify(
        start.model_copy(update={"resume": state}),
        NotificationResult(outcome=outcome, event_id="evt_1"),
    )
    await eventually(lambda: harness.webhooks)
    await harness.handle(PREAUTH).result()
    assert '"successors":{"md_1":"md_2"}' in harness.records[-1].snapshot
    # A second activation could undo a newer sign-up.
    assert [record.activate_agreement for record in harness.records][1:] == [False] * (
        len(harness.records) - 1
    )
