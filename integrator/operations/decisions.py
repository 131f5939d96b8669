"""Carrying out what a person decides, with an audit that is written first."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Protocol

from integrator.admin.errors import OperatorError
from integrator.operations.output import second
from integrator.store.database import Store
from integrator.store.models import DecisionKind as Kind
from integrator.store.models import DecisionRow, Merchant, NewDecision, TransactionRow
from integrator.transactions.workflow_inputs import resume_input
from workflows.messages import AnyInput, ResolveReply
from workflows.state import Decision, DecisionKind

PATIENCE = timedelta(seconds=20)
"""Calling off what is being sent to the PSP takes as long as one call to it."""


class Resolves(Protocol):
    """The part of the gateway that is needed here."""

    async def resolve(self, start: AnyInput, decision: Decision) -> ResolveReply: ...


@dataclass(frozen=True)
class DecisionRequest:
    """What somebody wants; `psp_id` and `amount` belong to "succeeded" alone."""

    kind: Kind
    by: str
    reason: str
    psp_id: str | None = None
    amount: Decimal | None = None

    def __post_init__(self) -> None:
        """Raises `OperatorError` for what cannot be decided like this."""
        if not self.reason.strip():
            raise OperatorError("A decision needs a reason.")
        if not self.by.strip():
            raise OperatorError("A decision needs somebody who takes it.")
        named = self.psp_id is not None and self.amount is not None
        if self.kind == "succeeded" and not named:
            raise OperatorError("Name the PSP's movement: --psp-id and --amount.")
        if self.kind != "succeeded" and (self.psp_id or self.amount is not None):
            raise OperatorError("--psp-id and --amount belong to `succeeded`.")


def build_request(
    kind: str, by: str, reason: str, psp_id: str | None, amount: Decimal | None
) -> DecisionRequest:
    """A wish from what was typed; raises `OperatorError`."""
    return DecisionRequest(DecisionKind(kind).value, by, reason.strip(), psp_id, amount)


def subject(row: TransactionRow) -> str:
    """What is decided on."""
    value = f"{row.requested_amount} {row.currency}"
    return f"{row.kind} {row.transaction_id} of {row.merchant_id}, {value}, {row.status}"


def consequence(wanted: DecisionRequest) -> str:
    """What will hold afterwards, in one sentence or two."""
    said = {
        "acknowledge": "What asks for attention counts as looked at; nothing else changes.",
        "failed": "It will be Failed for good, what it holds is given back, and Billwerk+ is told. "
        "If the PSP reports money later, that asks for attention.",
        "succeeded": f"It will count as done with {wanted.amount} as the PSP's movement "
        f"{wanted.psp_id}, and Billwerk+ is told.",
    }
    return f"{said[wanted.kind]} Reason: {wanted.reason}"


@dataclass(frozen=True)
class Resolved:
    """What came of it; `refusal` says why not."""

    decision_id: str
    status_before: str | None
    status_after: str | None
    refusal: str | None


async def resolve(
    store: Store, gateway: Resolves, row: TransactionRow, wish: DecisionRequest
) -> Resolved:
    """Have the workflow carry it out, reopened from the store if it is gone.

    Raises `OperatorError` when no worker answers, and what the gateway raises; then the audit
    says "asked", and the transaction itself whether it was done.
    """
    id = await store.open_decision(
        NewDecision(
            merchant_id=row.merchant_id,
            kind=wish.kind,
            decided_by=wish.by,
            reason=wish.reason,
            transaction_id=row.transaction_id,
            psp_id=wish.psp_id,
            amount=wish.amount,
            status_before=row.status,
        )
    )
    decision = Decision(
        kind=DecisionKind(wish.kind),
        by=wish.by,
        reason=wish.reason,
        at=datetime.now(UTC),
        psp_id=wish.psp_id,
        amount=wish.amount,
    )
    try:
        answer = gateway.resolve(resume_input(row), decision)
        reply = await asyncio.wait_for(answer, PATIENCE.total_seconds())
    except TimeoutError:
        raise OperatorError(
            "No worker has answered in time, so it is not known whether it was carried out: "
            f"see `integrator explain {row.transaction_id}`. The same decision may be repeated."
        ) from None
    refusal = reply.refusal.message if reply.refusal else None
    after = reply.status.name
    await store.close_decision(
        id, "refused" if refusal else "done", status_after=after, refusal=refusal
    )
    return Resolved(id, row.status, after, refusal)


async def settle_stray(
    store: Store, merchant: Merchant, psp_id: str, wish: DecisionRequest
) -> Resolved:
    """Note that somebody has dealt with a movement nobody asked for; raises `OperatorError`."""
    stray = await store.stray(merchant.psp_settings_id, psp_id)
    if stray is None or stray.resolved_at is not None:
        was = "was resolved before" if stray is not None else "is unknown"
        raise OperatorError(f"The stray {psp_id!r} of {merchant.id} {was}.")
    id = await store.open_decision(
        NewDecision(
            merchant_id=merchant.id,
            kind="acknowledge",
            decided_by=wish.by,
            reason=wish.reason,
            psp_settings_id=merchant.psp_settings_id,
            psp_id=psp_id,
        )
    )
    done = await store.resolve_stray(merchant.psp_settings_id, psp_id)
    refusal = None if done else "It was resolved meanwhile."
    await store.close_decision(id, "done" if done else "refused", refusal=refusal)
    return Resolved(id, None, None, refusal)


COLUMNS = ("Decided", "By", "Merchant", "On", "What", "Outcome", "Reason")


def cells(row: DecisionRow) -> tuple[str, ...]:
    """A line of the audit's table."""
    on = row.transaction_id or f"stray {row.psp_id}"
    movement = f" {row.psp_id} {row.amount}" if row.amount is not None else ""
    change = f": {row.status_before} to {row.status_after}" if row.status_after else ""
    outcome = f"{row.outcome} ({row.refusal})" if row.refusal else f"{row.outcome}{change}"
    reason = row.reason if row.reason is not None else "(erased)"
    decided = second(row.decided_at)
    return decided, row.decided_by, row.merchant_id, on, f"{row.kind}{movement}", outcome, reason
