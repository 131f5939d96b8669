"""Operators' decisions: before sending, while sending, and after a report of the PSP."""

from decimal import Decimal

from temporalio.exceptions import ApplicationError

from integrator.contract.enums import PaymentTransactionStatus as Status
from tests.integration.workflows.conftest import (
    WorkflowHarness,
    approved,
    eventually,
    time_skipping_disabled,
)
from tests.replay.scenarios.builders import (
    NOON,
    PENDING,
    Handle,
    notification,
    start_detached,
    start_workflow,
)
from workflows import activity_plans
from workflows.messages import PspFailure
from workflows.state import Decision, DecisionKind, EvidenceKind, TransactionKind

PAYMENT = TransactionKind.PAYMENT
UNKNOWN = ApplicationError("lost", 1, type=PspFailure.UNKNOWN)


def decision(kind: DecisionKind, psp_id: str | None = None) -> Decision:
    amount = Decimal("10.00") if psp_id else None
    return Decision(kind=kind, by="ops", reason="asked", at=NOON, psp_id=psp_id, amount=amount)


async def payment_decided_before_sending(harness: WorkflowHarness) -> Handle:
    """Decided before `create`; nothing is sent."""
    start = harness.payment(preauth_id="a1")
    handle = await start_workflow(harness, start)
    await harness.client.resolve(start, decision(DecisionKind.FAILED))
    await handle.result()
    return handle


async def payment_decided_while_sending(harness: WorkflowHarness) -> Handle:
    """The attempts are cancelled; a repetition and another decision change nothing."""
    harness.answers[activity_plans.CHARGE.name] = [UNKNOWN]
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [
        approved("ch_1", evidence=EvidenceKind.READ)
    ]
    start = harness.payment()
    with time_skipping_disabled(harness.env):
        handle = await start_detached(harness, start)
        await eventually(lambda: harness.calls_of(activity_plans.CHARGE))
        for _ in range(2):
            await harness.client.resolve(start, decision(DecisionKind.SUCCEEDED, "ch_1"))
        await harness.client.resolve(start, decision(DecisionKind.FAILED))
        await eventually(lambda: harness.webhooks)
    return handle


async def payment_decided_too_late(harness: WorkflowHarness) -> Handle:
    """The PSP reports while the preauth is notified; its report wins and is sent next."""
    harness.answers[activity_plans.CAPTURE.name] = [PENDING]
    start = harness.payment(preauth_id="a1")
    await harness.create(start)

    async def report_success() -> None:
        if len(harness.reservation_results) == 1:
            await harness.client.redeliver(start)
            await harness.notify(start, notification(approved("ch_1")))
            await harness.wait_for_status(PAYMENT, Status.Succeeded)

    harness.during_close_reservation = report_success
    reply = await harness.client.resolve(start, decision(DecisionKind.FAILED))
    assert reply.refusal is not None
    return harness.handle(PAYMENT)


async def payment_acknowledged(harness: WorkflowHarness) -> Handle:
    """An operator acknowledges the attention lines."""
    harness.answers[activity_plans.CHARGE.name] = [PENDING]
    start = harness.payment()
    await harness.create(start)
    await harness.handle(PAYMENT).cancel()
    await harness.state(PAYMENT)
    await harness.client.resolve(start, decision(DecisionKind.ACKNOWLEDGE))
    return harness.handle(PAYMENT)


SCENARIOS = (
    payment_decided_before_sending,
    payment_decided_while_sending,
    payment_decided_too_late,
    payment_acknowledged,
)
