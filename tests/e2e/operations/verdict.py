"""What is wrong with a case in its final state: compares PSP, API and what the caller knows."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from tests.e2e.operations.cases import HARMLESS, UNBOOKED_PHASES, Kind, Operation, Phase
from tests.e2e.operations.scenario import Scenario
from tests.e2e.operations.transactions import Transaction
from tests.e2e.operations.world import View, World, view
from tests.e2e.stack.sandbox import Entry, total

UNDECIDED = ("Initiated", "Pending")
PAYMENTS = (Kind.CHARGE, Kind.DEBIT, Kind.CAPTURE)


class Column(StrEnum):
    """Kinds of violations."""

    DOUBLE = "double movement"
    LOST = "lost change"
    STUCK = "stuck"
    WRONG = "wrong state"


@dataclass(frozen=True)
class Violation:
    """One violation, with the transaction and both sides of the difference."""

    column: Column
    transaction: str
    text: str


async def find_violations(world: World, scenario: Scenario) -> list[Violation]:
    """Return everything that is wrong with the case's transactions now."""
    violations: list[Violation] = []
    for transaction in scenario.transactions:
        violations += await _check(world, scenario, transaction)
    return violations


async def _check(world: World, scenario: Scenario, transaction: Transaction) -> list[Violation]:
    ledger = await world.ledger(transaction.id)
    response = await world.get(transaction.resource, transaction.id)
    seen = view(response)
    found = [
        *_double_movements(ledger),
        *_state_problems(scenario, transaction, seen, ledger),
        *_lost_changes(seen, world.known.get(transaction.id)),
    ]
    if transaction.id in world.unreadable:
        found.append((Column.WRONG, f"cannot be read: {world.unreadable[transaction.id]}"))
    if transaction.kind in PAYMENTS and response.is_success:
        refunds = [e for c in transaction.children for e in await world.ledger(c.id)]
        shown = Decimal(str(response.json()["refundedAmount"]))
        if shown != total(refunds, "refund"):
            text = f"shows {shown} refunded, the PSP {total(refunds, 'refund')}"
            found.append((Column.STUCK, text))
    return [Violation(column, transaction.workflow_id, text) for column, text in found]


Found = list[tuple[Column, str]]


def _double_movements(ledger: Sequence[Entry]) -> Found:
    counts = Counter(entry.kind for entry in ledger)
    return [
        (Column.DOUBLE, f"{count} times {kind}")
        for kind, count in counts.items()
        if count > 1 and kind != "chargeback"
    ]


def _lost_changes(seen: View, known: View | None) -> Found:
    if seen == known:
        return []
    return [
        (Column.LOST, f"is {dict(seen)}, its caller knows {None if known is None else dict(known)}")
    ]


def _state_problems(
    scenario: Scenario, transaction: Transaction, seen: View, ledger: Sequence[Entry]
) -> Found:
    status = seen["status"]
    booked = [entry for entry in ledger if entry.kind == transaction.psp_operation]
    if status in UNDECIDED:
        return [(Column.STUCK, f"{status}, the PSP has booked {[e.kind for e in ledger]}")]
    if scenario.must_be_voided and transaction is scenario.target:
        voided = any(entry.kind == "void" for entry in ledger)
        if status != "Cancelled" or not voided:
            column = Column.STUCK if status == "Succeeded" and not voided else Column.WRONG
            return [(column, f"{status}, voided at the PSP: {voided}")]
        return []
    if (status == "Succeeded") != bool(booked):
        return [(Column.WRONG, f"{dict(seen)}, the PSP has booked {[e.kind for e in ledger]}")]
    if status == "Failed" and transaction is scenario.target and _must_succeed(scenario):
        return [(Column.WRONG, f"{dict(seen)} after a harmless operation")]
    return _amount_problems(transaction, seen, ledger) if booked else []


def _must_succeed(scenario: Scenario) -> bool:
    """Return whether the first run goes on sending within the key window."""
    case = scenario.case
    # Without a worker a cancellation ends the workflow: then the PSP is asked, nothing is sent.
    ended = (case.phase, case.operation) == (Phase.BEFORE_SEND, Operation.CANCEL)
    first_run_sends = case.operation in HARMLESS and not ended
    return first_run_sends and case.phase in UNBOOKED_PHASES and not case.keys_forgotten


def _amount_problems(transaction: Transaction, seen: View, ledger: Sequence[Entry]) -> Found:
    def of_kind(kind: str) -> list[tuple[str, Decimal]]:
        return sorted((e.psp_id, e.amount) for e in ledger if e.kind == kind)

    if transaction.kind in PAYMENTS:
        shown = (seen["payments"], seen["chargebacks"])
        booked = (of_kind(transaction.psp_operation), of_kind("chargeback"))
        return [] if shown == booked else [(Column.WRONG, f"shows {shown}, the PSP {booked}")]
    amount = seen["authorizedAmount" if transaction.kind is Kind.PREAUTH else "refundedAmount"]
    held = total(ledger, transaction.psp_operation)
    return [] if amount == held else [(Column.WRONG, f"shows {amount}, the PSP {held}")]
