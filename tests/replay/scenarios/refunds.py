"""Refunds: done, pending and failed, failed between two attempts."""

import asyncio
from datetime import timedelta

from temporalio.exceptions import ApplicationError

from integrator.contract.enums import PaymentErrorCode
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.types import Declined, FactKind
from tests.integration.workflows.conftest import (
    WorkflowHarness,
    approved,
    eventually,
    time_skipping_disabled,
)
from tests.replay.scenarios.builders import PENDING, Handle, declined_as, notification
from workflows import activity_plans
from workflows.messages import PspReply
from workflows.state import EvidenceKind, TransactionKind


async def refund_failed_between_attempts(harness: WorkflowHarness) -> Handle:
    """The PSP reports the failure while the call is being retried."""
    declined = PspReply(
        outcome=Declined(code=PaymentErrorCode.Rejected), evidence=EvidenceKind.READ
    )
    harness.answers[activity_plans.REFUND.name] = [
        ApplicationError("lost", 1, type="OutcomeUnknown")
    ]
    harness.answers[activity_plans.FETCH_REFUND.name] = [declined]
    start = harness.refund()
    with time_skipping_disabled(harness.env):
        await harness.client.ensure_started(start)
        await harness.client.caller_detached("m", TransactionKind.REFUND, harness.transaction_id)
        await eventually(lambda: harness.calls_of(activity_plans.REFUND))
        await harness.notify(start, notification(declined))
        await eventually(lambda: "reservation closed" in harness.order)
    await harness.handle(TransactionKind.REFUND).result()
    return harness.handle(TransactionKind.REFUND)


async def refund_failure_learned_twice(harness: WorkflowHarness) -> Handle:
    """The look-up finds the failure, too, while the payment is being notified of it."""

    async def wait_for_lookup() -> None:
        await eventually(lambda: harness.calls_of(activity_plans.FETCH_REFUND))
        await asyncio.sleep(0.5)  # its result reaches the workflow, which does not show it yet

    harness.during_close_reservation = wait_for_lookup
    return await refund_failed_between_attempts(harness)


async def refund_succeeded(harness: WorkflowHarness) -> Handle:
    done = approved("re_1", kind=FactKind.REFUNDED, psp_id="re_1")
    harness.answers[activity_plans.REFUND.name] = [done.model_copy(update={"settled": True})]
    await harness.create(harness.refund())
    await harness.handle(TransactionKind.REFUND).result()
    return harness.handle(TransactionKind.REFUND)


async def refund_pending_then_failed(harness: WorkflowHarness) -> Handle:
    harness.answers[activity_plans.REFUND.name] = [PENDING]
    harness.answers[activity_plans.FETCH_REFUND.name] = [declined_as(Status.Failed)]
    await harness.create(harness.refund())
    await harness.advance_time(TransactionKind.REFUND, timedelta(minutes=5))
    await harness.handle(TransactionKind.REFUND).result()
    return harness.handle(TransactionKind.REFUND)


SCENARIOS = (
    refund_succeeded,
    refund_pending_then_failed,
    refund_failed_between_attempts,
    refund_failure_learned_twice,
)
