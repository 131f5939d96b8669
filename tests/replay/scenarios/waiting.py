"""Debits that wait for the day on which their PSP takes their date."""

from datetime import UTC, datetime, timedelta
from typing import Any

from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.contract.enums import PublicPaymentProviderRole
from integrator.psp.types import Pending
from tests.integration.workflows.conftest import (
    WorkflowHarness,
    approved,
    eventually,
    time_skipping_disabled,
)
from tests.integration.workflows.resets import reset
from tests.replay.scenarios.builders import Handle, start_workflow
from tests.replay.scenarios.rewound import store_recorded
from workflows import activity_plans
from workflows.messages import PaymentInput, PspReply
from workflows.state import Decision, DecisionKind, EvidenceKind, PaymentState, TransactionKind

PAYMENT = TransactionKind.PAYMENT
WAIT = timedelta(days=30)
ABSENT = PspReply(outcome=None, evidence=EvidenceKind.READ, absence_proven=True)
ACCEPTED = PspReply(outcome=Pending(psp_id="ch_1"), evidence=EvidenceKind.ANSWER)


def waiting_debit(harness: WorkflowHarness, **changes: Any) -> PaymentInput:
    """Build a debit that is sent in `WAIT`; the PSP does not have it before."""
    send_at = datetime.now(UTC) + WAIT
    day = {"execute_on": send_at.date() + timedelta(days=14), "send_at": send_at}
    harness.answers[activity_plans.CHARGE.name] = [ACCEPTED]
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [ABSENT]
    return harness.payment(**{"role": PublicPaymentProviderRole.Debit} | day | changes)


def stored_state(start: PaymentInput) -> PaymentState:
    """Build the recorded state of a debit that waits."""
    return PaymentState(
        transaction_id=start.transaction_id,
        external_id=start.external_id,
        role=start.role,
        currency=start.currency,
        requested_amount=start.requested_amount,
        due_date=start.execute_on,
        send_at=start.send_at,
        status=Status.Pending,
        version=1,
        last_updated=datetime.now(UTC),
    )


async def payment_sent_on_its_day(harness: WorkflowHarness) -> Handle:
    """Looked up and reset while it waits, then sent and looked up as paid."""
    start = waiting_debit(harness)
    await harness.create_recorded(start)
    store_recorded(harness)
    with time_skipping_disabled(harness.env):
        await harness.client.look_up(start)
        await eventually(lambda: harness.calls_of(activity_plans.FETCH_PAYMENT))
        handle = await reset(harness, PAYMENT)
    await harness.advance_time(PAYMENT, WAIT + timedelta(seconds=30))
    await eventually(lambda: harness.calls_of(activity_plans.CHARGE))
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [
        approved("ch_1", evidence=EvidenceKind.READ)
    ]
    await harness.advance_time(PAYMENT, timedelta(minutes=2))
    await harness.wait_for_status(PAYMENT, Status.Succeeded)
    return handle


async def payment_ended_while_it_waits(harness: WorkflowHarness) -> Handle:
    """An operator ends it."""
    start = waiting_debit(harness)
    await harness.create_recorded(start)
    ended = Decision(
        kind=DecisionKind.FAILED, by="ops-7", reason="ordered twice", at=datetime.now(UTC)
    )
    await harness.client.resolve(start, ended)
    handle = harness.handle(PAYMENT)
    await handle.result()
    return handle


async def payment_found_while_it_waits(harness: WorkflowHarness) -> Handle:
    """A look-up finds it at the PSP, so that it is not sent."""
    start = waiting_debit(harness)
    await harness.create_recorded(start)
    harness.answers[activity_plans.FETCH_PAYMENT.name] = [
        approved("ch_1", evidence=EvidenceKind.READ)
    ]
    with time_skipping_disabled(harness.env):
        await harness.client.look_up(start)
        await harness.wait_for_status(PAYMENT, Status.Succeeded)
    return harness.handle(PAYMENT)


async def payment_waiting_without_create(harness: WorkflowHarness) -> Handle:
    """Its caller is gone: the change is announced."""
    handle = await start_workflow(harness, waiting_debit(harness))
    await harness.advance_time(PAYMENT, timedelta(hours=2))
    await eventually(lambda: harness.webhooks)
    return handle


SCENARIOS = (
    payment_sent_on_its_day,
    payment_ended_while_it_waits,
    payment_found_while_it_waits,
    payment_waiting_without_create,
)
