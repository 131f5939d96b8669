"""Apply operators' decisions; the audit record is written first."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Protocol

from integrator.admin.errors import OperatorError
from integrator.operations.output import format_second
from integrator.store.database import Store
from integrator.store.models import DecisionKind as Kind
from integrator.store.models import DecisionRow, Merchant, NewDecision, TransactionRow
from integrator.transactions.workflow_inputs import resume_input
from workflows.messages import AnyInput, ResolveReply
from workflows.state import Decision, DecisionKind

TIMEOUT = timedelta(seconds=20)
"""Cancelling a PSP call in progress takes as long as one call."""


class DecisionClient(Protocol):
    """The part of the transaction client used here."""

    async def resolve(self, start: AnyInput, decision: Decision) -> ResolveReply: ...


@dataclass(frozen=True)
class DecisionRequest:
    """A decision requested by an operator; `psp_id` and `amount` are for "succeeded" only."""

    kind: Kind
    by: str
    reason: str
    psp_id: str | None = None
    amount: Decimal | None = None

    def __post_init__(self) -> None:
        """Validate the request; raises `OperatorError`."""
        if not self.reason.strip():
            raise OperatorError("A decision needs a reason: add --reason.")
        if not self.by.strip():
            raise OperatorError("A decision needs the name of its operator: add --by.")
        has_movement = self.psp_id is not None and self.amount is not None
        if self.kind == "succeeded" and not has_movement:
            raise OperatorError("`succeeded` needs the PSP's movement: add --psp-id and --amount.")
        if self.kind != "succeeded" and (self.psp_id or self.amount is not None):
            raise OperatorError("--psp-id and --amount are for `succeeded` only.")


def build_request(
    kind: str, by: str, reason: str, psp_id: str | None, amount: Decimal | None
) -> DecisionRequest:
    """Build a request from command-line values; raises `OperatorError`."""
    return DecisionRequest(DecisionKind(kind).value, by, reason.strip(), psp_id, amount)


def describe_transaction(row: TransactionRow) -> str:
    """Describe the transaction in one line."""
    value = f"{row.requested_amount} {row.currency}"
    return f"{row.kind} {row.transaction_id} of {row.merchant_id}, {value}, {row.status}"


def describe_consequence(request: DecisionRequest) -> str:
    """Describe the effect of the decision in one or two sentences."""
    effects = {
        "acknowledge": "The reasons for attention count as seen; nothing else changes.",
        "failed": "It will be Failed for good, its reservation is closed, Billwerk+ is notified. "
        "If the PSP reports money later, that needs attention.",
        "succeeded": f"It will count as succeeded with {request.amount} as the PSP's movement "
        f"{request.psp_id}, and Billwerk+ is notified.",
    }
    return f"{effects[request.kind]} Reason: {request.reason}"


@dataclass(frozen=True)
class DecisionResult:
    """Result of a decision; `refusal` is the reason if it was refused."""

    decision_id: str
    status_before: str | None
    status_after: str | None
    refusal: str | None


async def resolve(
    store: Store, transaction_client: DecisionClient, row: TransactionRow, request: DecisionRequest
) -> DecisionResult:
    """Have the workflow apply the decision, reopened from the store if it has closed.

    Raises `OperatorError` if no worker responds, and what the transaction client raises; then the
    audit says "asked", and the transaction's state shows whether the decision was applied.
    """
    id = await store.decisions.add(
        NewDecision(
            merchant_id=row.merchant_id,
            kind=request.kind,
            decided_by=request.by,
            reason=request.reason,
            transaction_id=row.transaction_id,
            psp_id=request.psp_id,
            amount=request.amount,
            status_before=row.status,
        )
    )
    decision = Decision(
        kind=DecisionKind(request.kind),
        by=request.by,
        reason=request.reason,
        at=datetime.now(UTC),
        psp_id=request.psp_id,
        amount=request.amount,
    )
    try:
        resolving = transaction_client.resolve(resume_input(row), decision)
        reply = await asyncio.wait_for(resolving, TIMEOUT.total_seconds())
    except TimeoutError:
        raise OperatorError(
            "No worker responded in time, so it is not known whether the decision was applied: "
            f"see `integrator explain {row.transaction_id}`. The same decision may be repeated."
        ) from None
    refusal = reply.refusal.message if reply.refusal else None
    status_after = reply.status.name
    await store.decisions.record_outcome(
        id, "refused" if refusal else "done", status_after=status_after, refusal=refusal
    )
    return DecisionResult(id, row.status, status_after, refusal)


async def resolve_unmatched(
    store: Store, merchant: Merchant, psp_id: str, request: DecisionRequest
) -> DecisionResult:
    """Mark an unmatched movement as resolved by an operator; raises `OperatorError`."""
    movement = await store.unmatched_movements.get(merchant.psp_settings_id, psp_id)
    if movement is None or movement.resolved_at is not None:
        problem = "was resolved before" if movement is not None else "is unknown"
        raise OperatorError(f"The unmatched movement {psp_id!r} of {merchant.id} {problem}.")
    id = await store.decisions.add(
        NewDecision(
            merchant_id=merchant.id,
            kind="acknowledge",
            decided_by=request.by,
            reason=request.reason,
            psp_settings_id=merchant.psp_settings_id,
            psp_id=psp_id,
        )
    )
    resolved = await store.unmatched_movements.resolve(merchant.psp_settings_id, psp_id)
    refusal = None if resolved else "It was resolved meanwhile."
    await store.decisions.record_outcome(id, "done" if resolved else "refused", refusal=refusal)
    return DecisionResult(id, None, None, refusal)


COLUMNS = ("Decided", "By", "Merchant", "On", "What", "Outcome", "Reason")


def table_row(row: DecisionRow) -> tuple[str, ...]:
    """Return a row of the audit's table."""
    subject = row.transaction_id or f"unmatched {row.psp_id}"
    movement = f" {row.psp_id} {row.amount}" if row.amount is not None else ""
    change = f": {row.status_before} to {row.status_after}" if row.status_after else ""
    outcome = f"{row.outcome} ({row.refusal})" if row.refusal else f"{row.outcome}{change}"
    reason = row.reason if row.reason is not None else "(erased)"
    decided = format_second(row.decided_at)
    return (
        decided,
        row.decided_by,
        row.merchant_id,
        subject,
        f"{row.kind}{movement}",
        outcome,
        reason,
    )
