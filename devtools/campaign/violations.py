"""Violations, and the records of a transaction that the checks need."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from devtools.campaign.integrator_view import StoredTransaction, WorkflowView
from devtools.campaign.psp import LedgerEntry
from devtools.campaign.psp_profiles import PspProfile
from devtools.campaign.responses import TransactionView, parse_view
from devtools.campaign.transaction import Transaction

UNKNOWN = "unknown"
"""Outcome of a transaction without any definite response."""


class Column(StrEnum):
    """Columns of the final table; each must be zero."""

    DOUBLE = "double movements"
    LOST = "lost outcomes"
    WRONG = "wrong final states"
    STUCK = "stuck transactions"
    STALE = "missed or stale webhooks"
    OVER = "over-refunds"
    AMOUNT = "amount mismatches"


@dataclass(frozen=True)
class Violation:
    """Violated invariant of one transaction."""

    column: Column
    transaction: str
    text: str


@dataclass(frozen=True)
class TransactionCase:
    """Records of a transaction; `transactions` are all of the campaign, `ledger` all entries."""

    transaction: Transaction
    row: StoredTransaction | None
    workflow: WorkflowView | None
    transactions: Mapping[str, Transaction]
    ledger: Mapping[str, Sequence[LedgerEntry]]
    profile: PspProfile = field(default_factory=PspProfile)

    @property
    def stored(self) -> bool:
        """Return whether the integrator has the transaction: a rejected request is not stored."""
        return self.transaction.final is not None and self.transaction.final.status != 404

    @property
    def final(self) -> TransactionView | None:
        """Return the final read; None if the transaction is not stored."""
        return (
            parse_view(self.transaction.final)
            if self.transaction.final is not None and self.stored
            else None
        )

    @property
    def outcome(self) -> str:
        """Return the outcome as Billwerk+ sees it."""
        if self.final is not None:
            return self.final.outcome
        return self.transaction.rejections[-1] if self.transaction.rejections else UNKNOWN

    @property
    def newest_state(self) -> Mapping[str, Any] | None:
        """Return the state of the workflow or, if it is newer, that of the store."""
        state = self.workflow.state if self.workflow is not None else None
        if self.row is not None and (state is None or int(state["version"]) < self.row.version):
            return self.row.snapshot
        return state

    @property
    def undecided(self) -> bool:
        """Return whether it is still open."""
        return self.outcome in ("Initiated", "Pending", UNKNOWN)

    def booked_amounts(self, *kinds: str) -> dict[str, Decimal]:
        """Return the amounts of these kinds booked under this transaction's id, by PSP id."""
        return booked_amounts(self.ledger, self.transaction.id, *kinds)

    def refunds(self) -> list[Transaction]:
        """Return the refunds of this payment."""
        return [
            t
            for t in self.transactions.values()
            if t.kind == "refund" and t.parent == self.transaction.id
        ]


def booked_amounts(
    ledger: Mapping[str, Sequence[LedgerEntry]], reference: str, *kinds: str
) -> dict[str, Decimal]:
    """Return the amounts booked under a reference by PSP id; amounts of one id are summed."""
    amounts: dict[str, Decimal] = {}
    for entry in ledger.get(reference, ()):
        if entry.kind in kinds:
            amounts[entry.psp_id] = amounts.get(entry.psp_id, Decimal(0)) + entry.amount
    return amounts
