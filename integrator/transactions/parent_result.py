"""Result of a capture or a refund, reported to its parent transaction from its row."""

from datetime import UTC, datetime
from typing import Protocol

from integrator.store import Store, TransactionRow
from integrator.transactions.workflow_inputs import read_state, resume_input
from workflows.messages import PaymentInput, PreauthInput, ReservationResult
from workflows.reservation_client import reservation_result


class ReservationCloser(Protocol):
    """The part of the transaction client used here."""

    async def close_reservation(
        self, start: PreauthInput | PaymentInput, result: ReservationResult
    ) -> None: ...


async def report_to_parent(
    store: Store, transaction_client: ReservationCloser, row: TransactionRow
) -> None:
    """Close the reservation of a decided transaction at its parent, with its stored result.

    Harmless when repeated. Raises `LookupError` without a parent, `ValueError` for one that has no
    reservations, and what store and transaction client raise.
    """
    if row.related_id is None:
        raise LookupError("The transaction has no parent transaction.")
    parent = await store.transactions.get(row.merchant_id, row.related_id)
    if parent is None:
        raise LookupError("The parent transaction is not in the store.")
    start = resume_input(parent)
    if not isinstance(start, PreauthInput | PaymentInput):
        raise ValueError("A refund cannot be a parent transaction.")
    result = reservation_result(read_state(row.kind, row.snapshot))
    # Later than every attempt of a transaction that is decided.
    result = result.model_copy(update={"at": datetime.now(UTC)})
    await transaction_client.close_reservation(start, result)
