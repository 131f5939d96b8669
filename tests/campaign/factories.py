"""Made-up books: one transaction that is right in all of them, to be spoilt by a test."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from devtools.campaign.integrator_view import Row, Workflow
from devtools.campaign.invariants import audit
from devtools.campaign.psp import Entry
from devtools.campaign.psp_profiles import Profile
from devtools.campaign.responses import Answer, view
from devtools.campaign.scenario import Kind
from devtools.campaign.transaction import Transaction
from devtools.campaign.violations import Column

NOON = "2026-01-01T12:00:00.0000000Z"
LATER = "2026-01-01T12:00:09.0000000Z"
AMOUNT = Decimal("30.00")


def answer(status: str, **members: Any) -> Answer:
    """A 200, last updated at noon."""
    body = {"status": status, "requestedAmount": AMOUNT, "lastUpdated": NOON, **members}
    return Answer(200, body)


def error(code: str) -> Answer:
    """A failed transaction."""
    return Answer(422, {"errorCode": code, "receivedAt": NOON})


def paid(amount: Decimal = AMOUNT, **members: Any) -> Answer:
    """A payment that succeeded with one movement."""
    item = {"externalItemId": "ch_1", "amount": amount}
    left = {"refundableAmount": amount, **members}
    return answer("Succeeded", payments=[item], chargebacks=[], **left)


def entry(reference: str, kind: str, amount: Decimal = AMOUNT, psp_id: str = "ch_1") -> Entry:
    """A movement in the PSP's ledger."""
    return Entry(reference, kind, amount, psp_id, "key", NOON)


@dataclass
class Books:
    """All books together; `add` enters a transaction that everybody agrees about."""

    books: dict[str, Transaction] = field(default_factory=dict)
    rows: dict[str, Row] = field(default_factory=dict)
    workflows: dict[str, Workflow] = field(default_factory=dict)
    ledger: list[Entry] = field(default_factory=list)
    profile: Profile = field(default_factory=Profile)

    def add(
        self,
        id: str,
        kind: Kind,
        final: Answer,
        *entries: Entry,
        expected: str = "Succeeded",
        owner: str | None = None,
        state: Mapping[str, Any] | None = None,
    ) -> Transaction:
        """A transaction with its last answer and its bookings."""
        made = Transaction(id, kind, kind, AMOUNT, {}, frozenset({expected}), owner)
        made.answered, made.final = True, final
        made.told(final, asked=False)
        status = view(final).outcome.partition(":")[0]
        self.books[id] = made
        self.rows[id] = Row(status, 3, {"version": 3}, '{"kind":"notification"}')
        self.workflows[id] = Workflow(
            "RUNNING", (), {"version": 3, **(state or {})}, {"state": "idle"}
        )
        self.ledger += entries
        return made

    def payment(self) -> Transaction:
        """A payment that succeeded."""
        return self.add("p", "payment", paid(), entry("p", "charge"))

    def findings(self) -> set[tuple[Column, str]]:
        """What the audit finds: column and transaction."""
        found = audit(self.books, self.rows, self.workflows, self.ledger, self.profile)
        return {(finding.column, finding.transaction) for finding in found}
