"""Client of the reservation that a capture or a refund holds at its parent transaction."""

import asyncio

from workflows import activity_plans
from workflows.messages import CloseReservationCall, ReservationResult
from workflows.state import RefundState, TransactionKind, TransactionState
from workflows.transaction_context import TransactionContext


class ReservationClient:
    """Closes the reservation; does nothing for a transaction without a parent (`parent_id` None).

    The reservation is made by the activity that sends the operation to the PSP.
    """

    def __init__(
        self,
        context: TransactionContext,
        parent_kind: TransactionKind | None = None,
        parent_id: str | None = None,
    ) -> None:
        self.parent_id = parent_id
        self._parent_kind = parent_kind
        self._start = context.start
        self._reported: ReservationResult | None = None
        resume = context.start.resume
        was_informed = resume is not None and not resume.undecided and not context.start.parent_due
        self._reported_before = reservation_result(resume) if resume and was_informed else None
        self._lock = asyncio.Lock()

    def is_result_due(self, state: TransactionState) -> bool:
        """Return whether the parent transaction is still to be informed of this state's result."""
        if self.parent_id is None or state.undecided:
            return False
        return reservation_result(state) not in (self._reported, self._reported_before)

    def mark_closed(self, state: TransactionState) -> None:
        """Remember that the parent transaction has this state's result already."""
        self._reported = reservation_result(state)

    async def close(self, state: TransactionState) -> None:
        """Report the result to the parent transaction once the outcome is certain.

        One at a time: two tasks may see the outcome at once, and the last result must arrive last.
        """
        if self._parent_kind is None or self.parent_id is None or state.undecided:
            return
        async with self._lock:
            result = reservation_result(state)
            if result == self._reported:
                return
            await activity_plans.CLOSE_RESERVATION(
                CloseReservationCall(
                    merchant_id=self._start.merchant_id,
                    owner_kind=self._parent_kind,
                    owner_id=self.parent_id,
                    settlement=result,
                ),
                summary=f"close the reservation at the {self._parent_kind.value}",
            )
            self._reported = result


def reservation_result(state: TransactionState) -> ReservationResult:
    """Return how this transaction's reservation ended, from a state that is decided."""
    if isinstance(state, RefundState):
        refund = state.booked_refund()
        return ReservationResult(by=state.transaction_id, booked=refund is not None, refund=refund)
    return ReservationResult(by=state.transaction_id, booked=not state.ended)
