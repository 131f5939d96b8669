"""What can be wrong in the end, and everything one needs to judge one transaction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from devtools.campaign.integrator_view import Row, Workflow
from devtools.campaign.psp import Entry
from devtools.campaign.psp_profiles import Profile
from devtools.campaign.responses import View, view
from devtools.campaign.transaction import Transaction

UNKNOWN = "unknown"
"""The outcome of a transaction of which nobody ever gave an answer."""


class Column(StrEnum):
    """The columns of the final table; each must be zero."""

    DOUBLE = "double movements"
    LOST = "lost outcomes"
    WRONG = "wrong final states"
    STUCK = "stuck transactions"
    STALE = "missed or stale webhooks"
    OVER = "over-refunds"
    AMOUNT = "amount mismatches"


@dataclass(frozen=True)
class Violation:
    """One thing that is wrong with one transaction."""

    column: Column
    transaction: str
    text: str


@dataclass(frozen=True)
class Case:
    """A transaction in all three books; `others` are all transactions, `ledger` all bookings."""

    of: Transaction
    row: Row | None
    workflow: Workflow | None
    others: Mapping[str, Transaction]
    ledger: Mapping[str, Sequence[Entry]]
    profile: Profile = field(default_factory=Profile)

    @property
    def stored(self) -> bool:
        """Whether the service knows it at all: a refused request leaves nothing behind."""
        return self.of.final is not None and self.of.final.status != 404

    @property
    def final(self) -> View | None:
        """The last read; None when there is nothing to read."""
        return view(self.of.final) if self.of.final is not None and self.stored else None

    @property
    def outcome(self) -> str:
        """How it ended, as the platform sees it."""
        if self.final is not None:
            return self.final.outcome
        return self.of.refused[-1] if self.of.refused else UNKNOWN

    @property
    def undecided(self) -> bool:
        """Whether it is still open."""
        return self.outcome in ("Initiated", "Pending", UNKNOWN)

    def booked(self, *kinds: str) -> dict[str, Decimal]:
        """The movements of these kinds under this transaction's reference, by the PSP's id."""
        return entries(self.ledger, self.of.id, *kinds)

    def refunds(self) -> list[Transaction]:
        """The refunds of this payment."""
        return [t for t in self.others.values() if t.kind == "refund" and t.owner == self.of.id]


def entries(
    ledger: Mapping[str, Sequence[Entry]], reference: str, *kinds: str
) -> dict[str, Decimal]:
    """Movements by the PSP's id; one id booked twice adds up."""
    found: dict[str, Decimal] = {}
    for entry in ledger.get(reference, ()):
        if entry.kind in kinds:
            found[entry.psp_id] = found.get(entry.psp_id, Decimal(0)) + entry.amount
    return found
