"""Failures of payment systems elsewhere, played on our workflows: docs/lessons-learned.md."""

import asyncio
import json
from datetime import timedelta
from decimal import Decimal

from temporalio.exceptions import ApplicationError

from integrator.contract.enums import PaymentCancellationStatus as CancelStatus
from integrator.contract.enums import PaymentErrorCode
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.types import Approved, Declined, Fact, FactKind, Pending
from tests.workflows.conftest import WorkflowHarness, approved, eventually
from workflows import activity_plans
from workflows.messages import (
    NotificationResult,
    PspFailure,
    PspReply,
    ReconcileInput,
    workflow_id,
)
from workflows.state import EvidenceKind, TransactionKind

PAYMENT = TransactionKind.PAYMENT
PENDING = PspReply(outcome=Pending(psp_id="ch_1"), evidence=EvidenceKind.ANSWER)
PAID = approved("ch_1", psp_id="ch_1")
NOT_FOUND = PspReply(outcome=None, evidence=EvidenceKind.READ)


def charged_back() -> PspReply:
    back = Fact(kind=FactKind.CHARGED_BACK, id="cb_1", amount=Decimal("10.00"))
    assert isinstance(PAID.outcome, Approved)
    outcome = PAID.outcome.model_copy(update={"facts": (*PAID.outcome.facts, back)})
    return PspReply(outcome=outcome, evidence=EvidenceKind.READ)


async def test_a_capture_the_psp_has_not_decided_is_looked_up(harness: WorkflowHarness) -> None:
    harness.answers[activity_plans.CAPTURE.name] = [PENDING]
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [PENDING, PAID]
    assert (await harness.create(harness.payment(preauth_id="a1"))).status is Status.Pending
    await harness.advance_time(PAYMENT, timedelta(hours=1))
    await eventually(lambda: harness.reservation_results)
    assert (await harness.state(PAYMENT)).status is Status.Succeeded
    (call,) = harness.reservation_results
    assert call.settlement.booked


async def test_a_notification_that_overtakes_the_answer_is_the_answer(
    harness: WorkflowHarness,
) -> None:
    lost = ApplicationError("lost", type=PspFailure.UNKNOWN)
    harness.answers[activity_plans.CHARGE.name] = [lost, PAID]
    start = harness.payment()
    asked = asyncio.create_task(harness.create(start))
    await eventually(lambda: harness.calls_of(activity_plans.CHARGE))
    await harness.notify(start, NotificationResult(outcome=PAID.outcome, event_id="evt_1"))
    answered = await asked
    assert (answered.status, answered.paid) == (Status.Succeeded, Decimal("10.00"))
    await eventually(lambda: len(harness.calls_of(activity_plans.CHARGE)) == 2)
    await eventually(lambda: harness.records)
    assert (await harness.state(PAYMENT)).paid == Decimal("10.00")
    assert harness.webhooks == []


async def test_money_that_moved_while_the_psp_could_not_find_it_shows_by_the_next_look_up(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.CHARGE.name] = [PENDING]
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [NOT_FOUND, PAID]
    start = harness.payment()
    await harness.create(start)
    await harness.notify(start, NotificationResult(outcome=None, event_id="evt_1", fetch=True))
    await eventually(lambda: harness.calls_of(activity_plans.FETCH_PAYMENT))
    await harness.advance_time(PAYMENT, timedelta(hours=1))
    await eventually(lambda: harness.webhooks)
    assert (await harness.state(PAYMENT)).status is Status.Succeeded


async def test_a_chargeback_the_psp_could_not_find_at_first_is_asked_for_again(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.CHARGE.name] = [PAID]
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [NOT_FOUND, charged_back()]
    start = harness.payment()
    await harness.create(start)
    await harness.notify(start, NotificationResult(outcome=None, event_id="evt_1", fetch=True))
    await eventually(lambda: harness.calls_of(activity_plans.FETCH_PAYMENT))
    await harness.advance_time(PAYMENT, timedelta(days=2))
    assert (await harness.state(PAYMENT)).refundable == 0


async def test_every_operation_has_a_key_of_its_own_made_of_ids_alone(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.AUTHORIZE.name] = [
        approved("auth_1", kind=FactKind.AUTHORIZED, psp_id="auth_1")
    ]
    refused = Declined(psp_id="auth_1", code=PaymentErrorCode.InvalidPreconditions)
    harness.answers[activity_plans.VOID.name] = [
        PspReply(outcome=refused, evidence=EvidenceKind.ANSWER)
    ]
    start = harness.preauth()
    resumed = start.model_copy(update={"resume": await harness.create(start)})
    for _ in range(2):
        assert (await harness.client.cancel(resumed)).status is CancelStatus.Failed
    own = workflow_id("m", TransactionKind.PREAUTH, harness.transaction_id)
    keys = [call.idempotency_key for _, call in harness.calls]
    assert keys == [f"{own}/authorize", f"{own}/void/0", f"{own}/void/1"]


async def test_a_change_is_announced_only_after_everybody_can_read_it(
    harness: WorkflowHarness,
) -> None:
    readable: list[int] = []

    def look(_attempt: int) -> None:
        readable.append(max(json.loads(record.snapshot)["version"] for record in harness.records))

    harness.webhook_error = look
    harness.answers[activity_plans.CHARGE.name] = [PENDING]
    start = harness.payment()
    await harness.create(start)
    for number, outcome in enumerate((PAID.outcome, charged_back().outcome), start=1):
        await harness.notify(start, NotificationResult(outcome=outcome, event_id=f"evt_{number}"))
        await eventually(lambda count=number: len(harness.webhooks) == count)  # type: ignore[misc]
    announced = [webhook.version for webhook in harness.webhooks]
    assert announced == sorted(announced)
    assert all(seen >= told for seen, told in zip(readable, announced, strict=True))


async def test_no_key_is_used_for_longer_than_the_psp_remembers_it(
    harness: WorkflowHarness,
) -> None:
    harness.answers[activity_plans.CHARGE.name] = [PENDING]
    await harness.create(harness.payment(key_window_seconds=3600))
    history = await harness.handle(PAYMENT).fetch_history()
    scheduled = [
        event.activity_task_scheduled_event_attributes
        for event in history.events
        if event.HasField("activity_task_scheduled_event_attributes")
    ]
    limits = [s.schedule_to_close_timeout.ToTimedelta() for s in scheduled]
    assert [s.activity_type.name for s in scheduled] == [activity_plans.CHARGE.name]
    assert limits[0] <= timedelta(minutes=48)


def test_a_schedule_names_a_merchant_and_nothing_else() -> None:
    required = [name for name, field in ReconcileInput.model_fields.items() if field.is_required()]
    assert required == ["merchant_id"]
    # A span of time is what a person asks for; a schedule that held one would compare it for ever.
    assert ReconcileInput(merchant_id="m").model_dump(exclude_none=True) == {"merchant_id": "m"}
