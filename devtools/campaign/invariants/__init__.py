"""Balances the three books. Pure: what everybody said goes in, what does not fit comes out."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from devtools.campaign.integrator_view import Row, Workflow
from devtools.campaign.invariants.money import (
    amount_mismatches,
    double_movements,
    kinds,
    lost_outcomes,
    over_refunds,
)
from devtools.campaign.invariants.states import (
    books_disagree,
    stale_webhooks,
    stuck,
    wrong_final_states,
)
from devtools.campaign.psp import Entry
from devtools.campaign.psp_profiles import Profile
from devtools.campaign.transaction import Transaction
from devtools.campaign.violations import Case, Column, Violation


def audit(
    books: Mapping[str, Transaction],
    rows: Mapping[str, Row],
    workflows: Mapping[str, Workflow],
    ledger: Sequence[Entry],
    profile: Profile,
) -> list[Violation]:
    """Everything that is wrong; empty when money is exact."""
    by_reference: dict[str, list[Entry]] = {}
    for entry in ledger:
        by_reference.setdefault(entry.reference, []).append(entry)
    found = [
        Violation(Column.DOUBLE, reference, f"the PSP booked {kinds(some)} for nobody")
        for reference, some in by_reference.items()
        if reference not in books
    ]
    for id, of in books.items():
        case = Case(of, rows.get(id), workflows.get(id), books, by_reference, profile)
        for column, checks in CHECKS.items():
            for check in checks:
                found += [Violation(column, id, text) for text in check(case)]
    return found


CHECKS: Mapping[Column, Iterable[Callable[[Case], Iterator[str]]]] = {
    Column.DOUBLE: (double_movements,),
    Column.LOST: (lost_outcomes,),
    Column.WRONG: (wrong_final_states, books_disagree),
    Column.STUCK: (stuck,),
    Column.STALE: (stale_webhooks,),
    Column.OVER: (over_refunds,),
    Column.AMOUNT: (amount_mismatches,),
}
