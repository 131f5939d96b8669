"""Invariants of a campaign: compare the records of Billwerk+, the integrator and the PSP. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from devtools.campaign.integrator_view import StoredTransaction, WorkflowView
from devtools.campaign.invariants.money import (
    amount_mismatches,
    describe_entries,
    double_movements,
    lost_outcomes,
    over_refunds,
)
from devtools.campaign.invariants.states import (
    inconsistent_states,
    stale_webhooks,
    stuck,
    wrong_final_states,
)
from devtools.campaign.psp import LedgerEntry
from devtools.campaign.psp_profiles import PspProfile
from devtools.campaign.transaction import Transaction
from devtools.campaign.violations import Column, TransactionCase, Violation


def find_violations(
    transactions: Mapping[str, Transaction],
    rows: Mapping[str, StoredTransaction],
    workflows: Mapping[str, WorkflowView],
    ledger: Sequence[LedgerEntry],
    profile: PspProfile,
) -> list[Violation]:
    """Return all violations; empty when every record agrees."""
    by_reference: dict[str, list[LedgerEntry]] = {}
    for entry in ledger:
        by_reference.setdefault(entry.reference, []).append(entry)
    violations = [
        Violation(
            Column.DOUBLE,
            reference,
            f"the PSP booked {describe_entries(entries)} under an unknown reference",
        )
        for reference, entries in by_reference.items()
        if reference not in transactions
    ]
    for id, transaction in transactions.items():
        case = TransactionCase(
            transaction, rows.get(id), workflows.get(id), transactions, by_reference, profile
        )
        for column, checks in CHECKS.items():
            for check in checks:
                violations += [Violation(column, id, text) for text in check(case)]
    return violations


CHECKS: Mapping[Column, Iterable[Callable[[TransactionCase], Iterator[str]]]] = {
    Column.DOUBLE: (double_movements,),
    Column.LOST: (lost_outcomes,),
    Column.WRONG: (wrong_final_states, inconsistent_states),
    Column.STUCK: (stuck,),
    Column.STALE: (stale_webhooks,),
    Column.OVER: (over_refunds,),
    Column.AMOUNT: (amount_mismatches,),
}
