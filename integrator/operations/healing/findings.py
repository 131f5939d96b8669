"""Kinds of findings, and the commands that an operator uses on each."""

import shlex
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from integrator.store.models import TransactionRow, TransactionSummary
from workflows.messages import workflow_id
from workflows.state import TransactionKind


class FindingKind(StrEnum):
    """What may be wrong with a transaction."""

    UNREADABLE = "unreadable"
    TASKS_FAIL = "tasks_fail"
    WORKFLOW_MISSING = "workflow_missing"
    OUTCOME_UNKNOWN = "outcome_unknown"
    FAILURE_UNPROVEN = "failure_unproven"
    PSP_CONTRADICTS = "psp_contradicts"
    STATE_BEHIND = "state_behind"
    STATE_DIFFERS = "state_differs"
    PARENT_UNINFORMED = "parent_uninformed"
    ANNOUNCEMENT_LOST = "announcement_lost"
    ANNOUNCEMENT_UNCLEAR = "announcement_unclear"


TITLES = {
    FindingKind.UNREADABLE: "the row cannot be read",
    FindingKind.TASKS_FAIL: "the workflow's tasks fail",
    FindingKind.WORKFLOW_MISSING: "there is work to do and no workflow runs",
    FindingKind.OUTCOME_UNKNOWN: "the PSP did not answer while it recognised our key",
    FindingKind.FAILURE_UNPROVEN: "Failed as not sent, not yet compared with the PSP",
    FindingKind.PSP_CONTRADICTS: "Failed here, Succeeded at the PSP",
    FindingKind.STATE_BEHIND: "the workflow is behind the row",
    FindingKind.STATE_DIFFERS: "workflow and row differ in the same version",
    FindingKind.PARENT_UNINFORMED: "the parent transaction lacks the final result",
    FindingKind.ANNOUNCEMENT_LOST: "the last change was never announced",
    FindingKind.ANNOUNCEMENT_UNCLEAR: "the last change may not have been announced",
}

HEALED = frozenset(
    {
        *(FindingKind.WORKFLOW_MISSING, FindingKind.OUTCOME_UNKNOWN, FindingKind.FAILURE_UNPROVEN),
        *(FindingKind.STATE_BEHIND, FindingKind.PARENT_UNINFORMED, FindingKind.ANNOUNCEMENT_LOST),
    }
)
"""Kinds for which `heal --apply` does something; the others need an operator."""


Row = TransactionRow | TransactionSummary


@dataclass(frozen=True)
class Finding:
    """Something wrong with one transaction.

    `since` is the transaction's last change; `commands` are for an operator, ready to be typed.
    """

    kind: FindingKind
    merchant_id: str
    id: str
    transaction_kind: str
    status: str
    since: datetime
    commands: tuple[str, ...]
    detail: str | None = None


def build_finding(kind: FindingKind, row: Row, detail: str | None = None) -> Finding:
    """Build the finding of a transaction with its commands."""
    return Finding(
        kind=kind,
        merchant_id=row.merchant_id,
        id=row.transaction_id,
        transaction_kind=row.kind,
        status=row.status,
        since=row.updated_at,
        commands=_commands(kind, row),
        detail=detail,
    )


def _commands(kind: FindingKind, row: Row) -> tuple[str, ...]:
    name = f"{shlex.quote(row.transaction_id)} --merchant {row.merchant_id}"
    explain = f"integrator explain {name}"
    reason = f"--merchant {row.merchant_id} --reason '...'"
    resolve = f"integrator resolve {shlex.quote(row.transaction_id)}"
    in_temporal = f"--workflow-id {shlex.quote(_workflow_id(row))}"
    match kind:
        case FindingKind.TASKS_FAIL:
            return (
                explain,
                f"temporal workflow describe {in_temporal}",
                f"temporal workflow terminate {in_temporal} --reason '...'",
                f"integrator reconcile {name}",
            )
        case FindingKind.OUTCOME_UNKNOWN:
            return (explain, f"integrator reconcile {name}", *_decisions(resolve, reason, row))
        case FindingKind.PSP_CONTRADICTS:
            return (explain, f"{resolve} acknowledge {reason}")
        case FindingKind.STATE_DIFFERS:
            reset = f"temporal workflow reset {in_temporal} --type LastWorkflowTask --reason '...'"
            return (explain, reset)
        case FindingKind.ANNOUNCEMENT_LOST | FindingKind.ANNOUNCEMENT_UNCLEAR:
            return (explain, f"integrator webhook redeliver {name}")
        case FindingKind.UNREADABLE:
            return ("integrator doctor", explain)
        case _:
            return (explain, f"integrator reconcile {name}")


def _decisions(resolve: str, reason: str, row: Row) -> tuple[str, ...]:
    failed = f"{resolve} failed {reason}"
    if row.kind == "preauth":
        return (failed,)
    amount = format(row.requested_amount, "f")
    return (failed, f"{resolve} succeeded {reason} --psp-id ID --amount {amount}")


def _workflow_id(row: Row) -> str:
    return workflow_id(row.merchant_id, TransactionKind(row.kind), row.transaction_id)
