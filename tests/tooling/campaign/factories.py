"""Factories of consistent records of transactions, for tests to modify."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from devtools.campaign.integrator_view import StoredTransaction, WorkflowView
from devtools.campaign.invariants import find_violations
from devtools.campaign.psp import LedgerEntry
from devtools.campaign.psp_profiles import PspProfile
from devtools.campaign.responses import Response, parse_view
from devtools.campaign.scenario import TransactionKind
from devtools.campaign.transaction import Transaction
from devtools.campaign.violations import Column

NOON = "2026-01-01T12:00:00.0000000Z"
LATER = "2026-01-01T12:00:09.0000000Z"
AMOUNT = Decimal("30.00")


def response(status: str, **members: Any) -> Response:
    """Return a 200 response, last updated at noon."""
    body = {"status": status, "requestedAmount": AMOUNT, "lastUpdated": NOON, **members}
    return Response(200, body)


def failed_response(code: str) -> Response:
    """Return the response of a failed transaction."""
    return Response(422, {"errorCode": code, "receivedAt": NOON})


def paid_response(amount: Decimal = AMOUNT, **members: Any) -> Response:
    """Return the response of a payment that succeeded with one movement."""
    item = {"externalItemId": "ch_1", "amount": amount}
    body_members = {"refundableAmount": amount, **members}
    return response("Succeeded", payments=[item], chargebacks=[], **body_members)


def ledger_entry(
    reference: str, kind: str, amount: Decimal = AMOUNT, psp_id: str = "ch_1"
) -> LedgerEntry:
    """Return an entry of the PSP's ledger."""
    return LedgerEntry(reference, kind, amount, psp_id, "key", NOON)


@dataclass
class Records:
    """Records of all sides; `add` adds a transaction consistent in all of them."""

    transactions: dict[str, Transaction] = field(default_factory=dict)
    rows: dict[str, StoredTransaction] = field(default_factory=dict)
    workflows: dict[str, WorkflowView] = field(default_factory=dict)
    ledger: list[LedgerEntry] = field(default_factory=list)
    profile: PspProfile = field(default_factory=PspProfile)

    def add(
        self,
        id: str,
        kind: TransactionKind,
        final: Response,
        *entries: LedgerEntry,
        expected: str = "Succeeded",
        parent: str | None = None,
        state: Mapping[str, Any] | None = None,
    ) -> Transaction:
        """Add a transaction with its final response and its ledger entries."""
        transaction = Transaction(id, kind, kind, AMOUNT, {}, frozenset({expected}), parent)
        transaction.answered, transaction.final = True, final
        transaction.record_response(final, posted=False)
        status = parse_view(final).outcome.partition(":")[0]
        self.transactions[id] = transaction
        self.rows[id] = StoredTransaction(status, 3, {"version": 3}, '{"kind":"notification"}')
        self.workflows[id] = WorkflowView(
            "RUNNING", (), {"version": 3, **(state or {})}, {"state": "idle"}
        )
        self.ledger += entries
        return transaction

    def payment(self) -> Transaction:
        """Add a payment that succeeded."""
        return self.add("p", "payment", paid_response(), ledger_entry("p", "charge"))

    def violations(self) -> set[tuple[Column, str]]:
        """Return column and transaction of every violation."""
        violations = find_violations(
            self.transactions, self.rows, self.workflows, self.ledger, self.profile
        )
        return {(violation.column, violation.transaction) for violation in violations}
