"""Match movements at the PSP with stored transactions and compare them. Pure functions."""

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
    """Result of matching a movement; operators read the values in the counts."""

    MATCHED = "matched"  # a transaction of ours, and its state includes the movement
    DIFFERENT = "different"  # a transaction of ours, and its state differs
    RECORDED = "adopted"  # external, and its parent's state includes it
    TO_RECORD = "to_adopt"  # external, on a transaction of ours
    WAITING = "waiting"  # on a transaction of ours that cannot record it, now or ever
    UNMATCHED = "stray"  # matches no transaction
    NO_EFFECT = "void"  # matches no transaction, and no money moved


@dataclass(frozen=True)
class Match:
    """A match result and the transaction it concerns: the movement's own or its parent."""

    result: MatchResult
    row: TransactionRow | None = None
    external_movement: ExternalMovement | None = None
    lookup_psp_id: str | None = None


def match_movement(movement: Movement, rows: Sequence[TransactionRow]) -> Match:
    """Match a movement with `rows`, all that have one of its ids; raises `ValueError`."""
    own = _find_own(movement, rows)
    if own is not None:
        return _match_own(movement, own)
    parent = _find_parent(movement, rows)
    if parent is not None:
        return _match_parent(movement, parent)
    declined = isinstance(movement.outcome, Declined)
    return Match(MatchResult.NO_EFFECT if declined else MatchResult.UNMATCHED)


def movement_ids(movement: Movement) -> set[str]:
    """Return every id by which the movement may refer to a transaction of ours."""
    return {
        id for id in (movement.psp_id, movement.reference, movement.parent_psp_id) if id is not None
    }


def movement_status(outcome: Outcome) -> MovementStatus:
    """Return whether money has moved, may still move, or will not."""
    if isinstance(outcome, Approved):
        return MovementStatus.BOOKED
    return MovementStatus.FAILED if isinstance(outcome, Declined) else MovementStatus.OPEN


def _find_own(movement: Movement, rows: Sequence[TransactionRow]) -> TransactionRow | None:
    """Find by the PSP's id first: a payment's external capture has another reference."""
    kind = OWN_KIND[movement.kind]
    candidates = [row for row in rows if row.kind == kind.value]
    by_id = [row for row in candidates if row.psp_transaction_id == movement.psp_id]
    by_reference = [row for row in candidates if row.transaction_id == movement.reference]
    return next(iter([*by_id, *by_reference]), None)


def _find_parent(movement: Movement, rows: Sequence[TransactionRow]) -> TransactionRow | None:
    kind = PARENT_KIND.get(movement.kind)
    if kind is None or movement.parent_psp_id is None:
        return None
    candidates = (row for row in rows if row.kind == kind.value)
    return next(
        (row for row in candidates if row.psp_transaction_id == movement.parent_psp_id), None
    )


def _match_own(movement: Movement, row: TransactionRow) -> Match:
    if movement.currency != row.currency:
        return Match(MatchResult.WAITING, row)
    if read_state(row.kind, row.snapshot).already_includes(movement.outcome):
        return Match(MatchResult.MATCHED, row)
    # A second movement under the same reference is found only by its own id.
    other = movement.psp_id if movement.psp_id != row.psp_transaction_id else None
    return Match(MatchResult.DIFFERENT, row, lookup_psp_id=other)


def _match_parent(movement: Movement, row: TransactionRow) -> Match:
    state = read_state(row.kind, row.snapshot)
    if not isinstance(state, PreauthState | PaymentState):
        raise ValueError("Only preauths and payments are parent transactions.")
    if state.includes_movement(movement.psp_id):
        return Match(MatchResult.RECORDED, row)
    if movement.amount <= 0:
        # A refund below 0 would add to what can be refunded: an operator decides.
        return Match(MatchResult.WAITING, row)
    external_movement = ExternalMovement(
        psp_id=movement.psp_id,
        amount=movement.amount,
        currency=movement.currency,
        status=movement_status(movement.outcome),
        booked_on=_booked_on(movement),
    )
    if state.ignores_movement(external_movement):
        failed = external_movement.status is MovementStatus.FAILED
        return Match(MatchResult.NO_EFFECT if failed else MatchResult.WAITING, row)
    return Match(MatchResult.TO_RECORD, row, external_movement)


def _booked_on(movement: Movement) -> date:
    facts = movement.outcome.facts if isinstance(movement.outcome, Approved) else ()
    days = [fact.booked_on for fact in facts if fact.booked_on is not None]
    return days[-1] if days else movement.booked_at.date()
