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
from tests.workflows.conftest import World, approved, eventually
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


async def test_a_capture_the_psp_has_not_decided_is_looked_up(world: World) -> None:
    world.answers[activity_plans.CAPTURE.name] = [PENDING]
    world.answers[activity_plans.FETCH_PAYMENT.name] = [PENDING, PAID]
    assert (await world.create(world.payment(preauth_id="a1"))).status is Status.Pending
    await world.later(PAYMENT, timedelta(hours=1))
    await eventually(lambda: world.settlements)
    assert (await world.state(PAYMENT)).status is Status.Succeeded
    (call,) = world.settlements
    assert call.settlement.booked


async def test_a_notification_that_overtakes_the_answer_is_the_answer(world: World) -> None:
    lost = ApplicationError("lost", type=PspFailure.UNKNOWN)
    world.answers[activity_plans.CHARGE.name] = [lost, PAID]
    start = world.payment()
    asked = asyncio.create_task(world.create(start))
    await eventually(lambda: world.called(activity_plans.CHARGE))
    await world.notify(start, NotificationResult(outcome=PAID.outcome, event_id="evt_1"))
    answered = await asked
    assert (answered.status, answered.paid) == (Status.Succeeded, Decimal("10.00"))
    await eventually(lambda: len(world.called(activity_plans.CHARGE)) == 2)
    await eventually(lambda: world.records)
    assert (await world.state(PAYMENT)).paid == Decimal("10.00")
    assert world.webhooks == []


async def test_money_that_moved_while_the_psp_could_not_find_it_shows_by_the_next_look_up(
    world: World,
) -> None:
    world.answers[activity_plans.CHARGE.name] = [PENDING]
    world.answers[activity_plans.FETCH_PAYMENT.name] = [NOT_FOUND, PAID]
    start = world.payment()
    await world.create(start)
    await world.notify(start, NotificationResult(outcome=None, event_id="evt_1", fetch=True))
    await eventually(lambda: world.called(activity_plans.FETCH_PAYMENT))
    await world.later(PAYMENT, timedelta(hours=1))
    await eventually(lambda: world.webhooks)
    assert (await world.state(PAYMENT)).status is Status.Succeeded


async def test_a_chargeback_the_psp_could_not_find_at_first_is_asked_for_again(
    world: World,
) -> None:
    world.answers[activity_plans.CHARGE.name] = [PAID]
    world.answers[activity_plans.FETCH_PAYMENT.name] = [NOT_FOUND, charged_back()]
    start = world.payment()
    await world.create(start)
    await world.notify(start, NotificationResult(outcome=None, event_id="evt_1", fetch=True))
    await eventually(lambda: world.called(activity_plans.FETCH_PAYMENT))
    await world.later(PAYMENT, timedelta(days=2))
    assert (await world.state(PAYMENT)).refundable == 0


async def test_every_operation_has_a_key_of_its_own_made_of_ids_alone(world: World) -> None:
    world.answers[activity_plans.AUTHORIZE.name] = [
        approved("auth_1", kind=FactKind.AUTHORIZED, psp_id="auth_1")
    ]
    refused = Declined(psp_id="auth_1", code=PaymentErrorCode.InvalidPreconditions)
    world.answers[activity_plans.VOID.name] = [
        PspReply(outcome=refused, evidence=EvidenceKind.ANSWER)
    ]
    start = world.preauth()
    resumed = start.model_copy(update={"resume": await world.create(start)})
    for _ in range(2):
        assert (await world.gateway.cancel(resumed)).status is CancelStatus.Failed
    own = workflow_id("m", TransactionKind.PREAUTH, world.transaction_id)
    keys = [call.idempotency_key for _, call in world.calls]
    assert keys == [f"{own}/authorize", f"{own}/void/0", f"{own}/void/1"]


async def test_a_change_is_announced_only_after_everybody_can_read_it(world: World) -> None:
    readable: list[int] = []

    def look(_attempt: int) -> None:
        readable.append(max(json.loads(record.snapshot)["version"] for record in world.records))

    world.webhook_failure = look
    world.answers[activity_plans.CHARGE.name] = [PENDING]
    start = world.payment()
    await world.create(start)
    for number, outcome in enumerate((PAID.outcome, charged_back().outcome), start=1):
        await world.notify(start, NotificationResult(outcome=outcome, event_id=f"evt_{number}"))
        await eventually(lambda count=number: len(world.webhooks) == count)  # type: ignore[misc]
    announced = [webhook.version for webhook in world.webhooks]
    assert announced == sorted(announced)
    assert all(seen >= told for seen, told in zip(readable, announced, strict=True))


async def test_no_key_is_used_for_longer_than_the_psp_remembers_it(world: World) -> None:
    world.answers[activity_plans.CHARGE.name] = [PENDING]
    await world.create(world.payment(key_window_seconds=3600))
    history = await world.handle(PAYMENT).fetch_history()
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
