"""Whose a movement at the PSP is, and whether we know it as it is. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from integrator.psp.types import Approved, Declined, Movement, MovementKind, Outcome
from integrator.store.models import TransactionRow
from integrator.transactions.workflow_inputs import read_state
from workflows.state import (
    ExternalMovement,
    MovementStatus,
    PaymentState,
    PreauthState,
    TransactionKind,
)

OWN_KIND = {
    MovementKind.AUTHORIZATION: TransactionKind.PREAUTH,
    MovementKind.PAYMENT: TransactionKind.PAYMENT,
    MovementKind.REFUND: TransactionKind.REFUND,
}
PARENT_KIND = {
    MovementKind.PAYMENT: TransactionKind.PREAUTH,
    MovementKind.REFUND: TransactionKind.PAYMENT,
}


class MatchResult(StrEnum):
    """What a movement turned out to be; the names are what operators read in the counts."""

    MATCHED = "matched"  # ours, and our state shows it
    DIFFERENT = "different"  # ours, and our state shows something else
    ADOPTED = "adopted"  # made without us on something of ours, whose state shows it by now
    TO_ADOPT = "to_adopt"  # made without us on something of ours
    WAITING = "waiting"  # about something of ours that cannot book it, now or ever
    STRAY = "stray"  # nobody's
    VOID = "void"  # nobody's, and it moved nothing


@dataclass(frozen=True)
class Match:
    """A finding, and the transaction it is about: the movement's own or its parent."""

    finding: MatchResult
    row: TransactionRow | None = None
    adoption: ExternalMovement | None = None
    look_under: str | None = None


def judge(movement: Movement, rows: Sequence[TransactionRow]) -> Match:
    """`rows` are all transactions that carry one of the movement's ids; raises `ValueError`."""
    own = _own(movement, rows)
    if own is not None:
        return _compare(movement, own)
    parent = _parent(movement, rows)
    if parent is not None:
        return _consider(movement, parent)
    nothing = isinstance(movement.outcome, Declined)
    return Match(MatchResult.VOID if nothing else MatchResult.STRAY)


def ids_of(movement: Movement) -> set[str]:
    """Every id under which a transaction of ours could be meant."""
    return {
        id for id in (movement.psp_id, movement.reference, movement.parent_psp_id) if id is not None
    }


def standing(outcome: Outcome) -> MovementStatus:
    """Whether money moved, may still, or will not."""
    if isinstance(outcome, Approved):
        return MovementStatus.BOOKED
    return MovementStatus.FAILED if isinstance(outcome, Declined) else MovementStatus.OPEN


def _own(movement: Movement, rows: Sequence[TransactionRow]) -> TransactionRow | None:
    """By the PSP's id first: a capture adopted by a payment has another reference."""
    kind = OWN_KIND[movement.kind]
    mine = [row for row in rows if row.kind == kind.value]
    by_id = [row for row in mine if row.psp_transaction_id == movement.psp_id]
    named = [row for row in mine if row.transaction_id == movement.reference]
    return next(iter([*by_id, *named]), None)


def _parent(movement: Movement, rows: Sequence[TransactionRow]) -> TransactionRow | None:
    kind = PARENT_KIND.get(movement.kind)
    if kind is None or movement.parent_psp_id is None:
        return None
    owners = (row for row in rows if row.kind == kind.value)
    return next((row for row in owners if row.psp_transaction_id == movement.parent_psp_id), None)


def _compare(movement: Movement, row: TransactionRow) -> Match:
    if movement.currency != row.currency:
        return Match(MatchResult.WAITING, row)
    if read_state(row.kind, row.snapshot).already_includes(movement.outcome):
        return Match(MatchResult.MATCHED, row)
    # A second movement under one reference is found by its own id only.
    other = movement.psp_id if movement.psp_id != row.psp_transaction_id else None
    return Match(MatchResult.DIFFERENT, row, look_under=other)


def _consider(movement: Movement, row: TransactionRow) -> Match:
    state = read_state(row.kind, row.snapshot)
    if not isinstance(state, PreauthState | PaymentState):
        raise ValueError("Only reservations and payments have children.")
    if state.has_adopted(movement.psp_id):
        return Match(MatchResult.ADOPTED, row)
    adoption = ExternalMovement(
        psp_id=movement.psp_id,
        amount=movement.amount,
        currency=movement.currency,
        status=standing(movement.outcome),
        booked_on=_booked_on(movement),
    )
    if state.ignores(adoption):
        failed = adoption.status is MovementStatus.FAILED
        return Match(MatchResult.VOID if failed else MatchResult.WAITING, row)
    return Match(MatchResult.TO_ADOPT, row, adoption)


def _booked_on(movement: Movement) -> date:
    facts = movement.outcome.facts if isinstance(movement.outcome, Approved) else ()
    days = [fact.booked_on for fact in facts if fact.booked_on is not None]
    return days[-1] if days else movement.booked_at.date()
