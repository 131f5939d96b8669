"""What the stories are told with: answers of the PSP, and ways to begin a transaction."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from temporalio.client import WorkflowHandle

from integrator.contract.enums import PaymentErrorCode
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.types import Approved, Declined, Fact, FactKind, Pending, RedirectRequired
from tests.workflows.conftest import World, approved, standing_still
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


def ended(status: Status) -> PspReply:
    outcome = Declined(code=PaymentErrorCode.Canceled, status=status)
    return PspReply(outcome=outcome, evidence=EvidenceKind.READ)


def notice(reply: PspReply) -> NotificationResult:
    return NotificationResult(outcome=reply.outcome, event_id="evt_1")


def with_facts(*facts: Fact) -> PspReply:
    return PspReply(
        outcome=Approved(psp_id="ch_1", facts=facts), evidence=EvidenceKind.NOTIFICATION
    )


def made_elsewhere(psp_id: str, amount: str) -> ExternalMovement:
    return ExternalMovement(
        psp_id=psp_id,
        amount=Decimal(amount),
        currency="EUR",
        status=MovementStatus.BOOKED,
        booked_on=date(2026, 1, 16),
    )


def wants(by: str, amount: str = "10.00", at: datetime | None = None) -> ReserveRequest:
    """A capture or a refund asks for money."""
    return ReserveRequest(by=by, amount=Decimal(amount), currency="EUR", at=at)


async def begun(world: World, start: AnyInput, **options: Any) -> Handle:
    """The transaction's workflow, whose caller has not asked for the outcome yet."""
    kind = kind_of(start)
    with standing_still(world.env):
        return await world.env.client.start_workflow(
            WORKFLOW_NAMES[kind],
            start,
            id=world.handle(kind).id,
            task_queue=world.queue,
            **options,
        )


async def left_alone(world: World, start: AnyInput) -> Handle:
    """As `begun`; its caller has been told Pending."""
    handle = await begun(world, start)
    await world.gateway.caller_detached("m", kind_of(start), world.transaction_id)
    return handle
