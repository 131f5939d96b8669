"""What is wrong with a transaction, by its row, its state and its workflow. Pure."""

from datetime import UTC, datetime, timedelta

from integrator.contract.enums import PaymentErrorCode
from integrator.psp import registry
from integrator.store.models import NOT_SENT, DeliveryRow, TransactionRow
from workflows.state import (
    AnyState,
    EvidenceKind,
    PaymentState,
    PreauthState,
    RefundState,
    TransactionState,
)
from workflows.state.status import Status, contradiction_text

UNKNOWN_OUTCOME_LINES = frozenset(
    {
        "The PSP has not answered for as long as it remembers our key.",
        "The workflow was reopened before the PSP's answer was known.",
    }
)
"""Lines of attention that stored states hold for ever."""

CLOCK_TOLERANCE = timedelta(seconds=2)
"""The clocks of API and workers may differ by that."""

_PARENT_REFUSALS = frozenset(
    {
        *(PaymentErrorCode.InvalidPreconditions, PaymentErrorCode.InvalidAmount),
        PaymentErrorCode.InvalidCurrency,
    }
)


def needs_workflow(row: TransactionRow, state: AnyState) -> bool:
    """Return whether something is to be done without a message from outside."""
    if state.undecided or row.announce_version is not None or row.due_steps is not None:
        return True
    if not isinstance(state, PreauthState):
        return False
    return state.ends_at is not None or (state.cancelling and not state.ended)


def is_outcome_unknown(row: TransactionRow, state: AnyState, now: datetime) -> bool:
    """Return whether only a look-up can still decide the transaction.

    The PSP has given it no id, and does not recognise its key any more.
    """
    if not state.undecided:
        return False
    if UNKNOWN_OUTCOME_LINES.intersection(state.attention_lines):
        return True
    if state.psp_transaction_id is not None or state.psp_session_id is not None:
        return False
    semantics = registry.get_adapter(row.psp).capabilities.idempotency
    return now - row.created_at > timedelta(seconds=semantics.window_seconds)


def is_failure_unproven(row: TransactionRow, state: AnyState) -> bool:
    """Return whether the transaction failed as not sent by what Temporal counted.

    An attempt whose number was reset could have been sent before. It counts as proven once it was
    compared with the PSP after its last change, and by the mark of an attempt; so does the
    parent transaction's refusal, because it knows of an earlier attempt.
    """
    if state.status is not Status.Failed or row.send_mark == NOT_SENT or state.failure is None:
        return False
    code = state.failure.code
    if state.evidence is not None and state.evidence.kind is EvidenceKind.NOT_SENT:
        refused_by_parent = row.related_id is not None and code in _PARENT_REFUSALS
        suspicious = not refused_by_parent
    else:
        suspicious = code is PaymentErrorCode.LoginError
    compared = row.checked_at is not None and row.checked_at > row.updated_at
    return suspicious and not compared and not _contradiction_known(state)


def is_contradicted(state: AnyState) -> bool:
    """Return whether the PSP reports the success of a failed transaction, not acknowledged yet."""
    return state.status is Status.Failed and _CONTRADICTION in state.attention_lines


def differs(state: AnyState, other: AnyState) -> bool:
    """Return whether two states of one version differ; attempts are counted without a version."""
    return state.model_dump(exclude={"attempts"}) != other.model_dump(exclude={"attempts"})


def is_parent_uninformed(child: AnyState, parent: AnyState) -> bool:
    """Return whether the parent transaction lacks the result of a decided capture or refund."""
    by = child.transaction_id
    match parent:
        case PaymentState() if isinstance(child, RefundState):
            if child.status is not Status.Succeeded:
                return by in parent.reservations
            booked = parent.refunds.get(by)
            return booked is None or booked.amount > child.refunded
        case PreauthState() if isinstance(child, PaymentState):
            is_lost = parent.captured_by is None and not child.ended
            return not parent.captured and (parent.captured_by == by or is_lost)
        case _:
            return False


def unannounced_since(
    row: TransactionRow, state: TransactionState, deliveries: list[DeliveryRow]
) -> datetime | None:
    """Return when the last change came that no delivery followed; None if there is none.

    A change is the final status or a movement. What came before the response was part of it, and a
    refund is announced by itself, not by its payment.
    """
    if row.version == 0 or row.announce_version is not None or row.told_at is None:
        return None
    if state.undecided or state.evidence is None:
        return None
    changed_at = max(state.evidence.at, *(one.at for one in state.fact_sources.values()), _NEVER)
    if changed_at <= row.told_at:
        return None
    delivered = (one.delivered_at for one in deliveries if one.delivered_at is not None)
    return None if any(at >= changed_at for at in delivered) else changed_at


_NEVER = datetime.min.replace(tzinfo=UTC)
_CONTRADICTION = contradiction_text(Status.Succeeded, Status.Failed)


def _contradiction_known(state: AnyState) -> bool:
    acknowledged = {line for decision in state.decisions for line in decision.acknowledged}
    return _CONTRADICTION in acknowledged.union(state.attention_lines)
