"""Incidents of other payment systems, replayed on our workflows: docs/lessons-learned.md."""

import asyncio
import json
from datetime import timedelta
from decimal import Decimal

from temporalio.exceptions import ApplicationError

from integrator.contract.enums import PaymentCancellationStatus as CancelStatus
from integrator.contract.enums import PaymentErrorCode
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.types import Approved, Declined, Fact, FactKind, Pending
from tests.integration.workflows.conftest import WorkflowHarness, approved, eventually
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
    chargeback = Fact(kind=FactKind.CHARGED_BACK, id="cb_1", amount=Decimal("10.00"))
    assert isinstance(PAID.outcome, Approved)
    outcome = PAID.outcome.model_copy(update={"facts": (*PAID.outcome.facts, chargeback)})
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


async def test_a_notification_before_the_response_completes_the_create(
    harness: WorkflowHarness,
) -> None:
    lost = ApplicationError("lost", type=PspFailure.UNKNOWN)
    harness.answers[activity_plans.CHARGE.name] = [lost, PAID]
    start = harness.payment()
    creating = asyncio.create_task(harness.create(start))
    await eventually(lambda: harness.calls_of(activity_plans.CHARGE))
    await harness.notify(start, NotificationResult(outcome=PAID.outcome, event_id="evt_1"))
    state = await creating
    assert (state.status, state.paid) == (Status.Succeeded, Decimal("10.00"))
    await eventually(lambda: len(harness.calls_of(activity_plans.CHARGE)) == 2)
    await eventually(lambda: harness.records)
    assert (await harness.state(PAYMENT)).paid == Decimal("10.00")
    assert harness.webhooks == []


async def test_money_the_psp_does_not_find_at_first_is_found_by_the_next_look_up(
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


async def test_a_chargeback_the_psp_does_not_find_at_first_is_looked_up_again(
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


async def test_every_operation_has_its_own_key_built_from_ids_only(
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
    expected_id = workflow_id("m", TransactionKind.PREAUTH, harness.transaction_id)
    keys = [call.idempotency_key for _, call in harness.calls]
    assert keys == [f"{expected_id}/authorize", f"{expected_id}/void/0", f"{expected_id}/void/1"]


async def test_a_change_is_announced_only_after_it_is_recorded(
    harness: WorkflowHarness,
) -> None:
    readable: list[int] = []

    def record_readable_version(_attempt: int) -> None:
        readable.append(max(json.loads(record.snapshot)["version"] for record in harness.records))

    harness.webhook_error = record_readable_version
    harness.answers[activity_plans.CHARGE.name] = [PENDING]
    start = harness.payment()
    await harness.create(start)
    for number, outcome in enumerate((PAID.outcome, charged_back().outcome), start=1):
        await harness.notify(start, NotificationResult(outcome=outcome, event_id=f"evt_{number}"))
        await eventually(lambda count=number: len(harness.webhooks) == count)  # type: ignore[misc]
    announced = [webhook.version for webhook in harness.webhooks]
    assert announced == sorted(announced)
    assert all(
        readable_version >= version
        for readable_version, version in zip(readable, announced, strict=True)
    )


async def test_no_key_is_used_beyond_the_idempotency_window(
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


def test_a_schedule_input_is_a_merchant_only() -> None:
    required = [name for name, field in ReconcileInput.model_fields.items() if field.is_required()]
    assert required == ["merchant_id"]
    # An operator may request a period; a schedule with one would compare it again in every run.
    assert ReconcileInput(merchant_id="m").model_dump(exclude_none=True) == {"merchant_id": "m"}
