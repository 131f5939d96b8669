"""Builders for scenarios: replies of the PSP, requests, and workflow starts."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from temporalio.client import WorkflowHandle

from integrator.contract.enums import PaymentErrorCode
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.types import Approved, Declined, Fact, FactKind, Pending, RedirectRequired
from tests.integration.workflows.conftest import WorkflowHarness, approved, time_skipping_disabled
from workflows.messages import (
    WORKFLOW_NAMES,
    AnyInput,
    NotificationResult,
    PspReply,
    ReserveRequest,
    kind_of,
)
from workflows.state import EvidenceKind, ExternalMovement, MovementStatus

Handle = WorkflowHandle[Any, Any]

NOON = datetime(2026, 1, 16, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)

PENDING = PspReply(outcome=Pending(psp_id="ch_1"), evidence=EvidenceKind.ANSWER)
NOT_FOUND = PspReply(outcome=None, evidence=EvidenceKind.READ)
REJECTED = PspReply(
    outcome=Declined(code=PaymentErrorCode.Rejected), evidence=EvidenceKind.NOTIFICATION
)


def reservation() -> PspReply:
    return approved(
        "auth_1",
        kind=FactKind.AUTHORIZED,
        expires_at=datetime.now(UTC) + timedelta(days=7),
        psp_id="auth_1",
    )


def redirect() -> PspReply:
    ends = datetime.now(UTC) + timedelta(minutes=30)
    return PspReply(
        outcome=RedirectRequired(psp_id="cs_1", expires_at=ends), evidence=EvidenceKind.ANSWER
    )


def declined_as(status: Status) -> PspReply:
    outcome = Declined(code=PaymentErrorCode.Canceled, status=status)
    return PspReply(outcome=outcome, evidence=EvidenceKind.READ)


def notification(reply: PspReply) -> NotificationResult:
    return NotificationResult(outcome=reply.outcome, event_id="evt_1")


def with_facts(*facts: Fact) -> PspReply:
    return PspReply(
        outcome=Approved(psp_id="ch_1", facts=facts), evidence=EvidenceKind.NOTIFICATION
    )


def external_movement(psp_id: str, amount: str) -> ExternalMovement:
    return ExternalMovement(
        psp_id=psp_id,
        amount=Decimal(amount),
        currency="EUR",
        status=MovementStatus.BOOKED,
        booked_on=date(2026, 1, 16),
    )


def reserve_request(by: str, amount: str = "10.00", at: datetime | None = None) -> ReserveRequest:
    """Build the request of a capture or refund `by` to reserve `amount`."""
    return ReserveRequest(by=by, amount=Decimal(amount), currency="EUR", at=at)


async def start_workflow(harness: WorkflowHarness, start: AnyInput, **options: Any) -> Handle:
    """Start the transaction's workflow without sending `create`."""
    kind = kind_of(start)
    with time_skipping_disabled(harness.env):
        return await harness.env.client.start_workflow(
            WORKFLOW_NAMES[kind],
            start,
            id=harness.handle(kind).id,
            task_queue=harness.queue,
            **options,
        )


async def start_detached(harness: WorkflowHarness, start: AnyInput) -> Handle:
    """Start the workflow and signal that its caller was answered Pending."""
    handle = await start_workflow(harness, start)
    await harness.client.caller_detached("m", kind_of(start), harness.transaction_id)
    return handle
