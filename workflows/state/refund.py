"""The state of a refund."""

from decimal import Decimal
from typing import Literal

from psp.types import FactKind, Outcome
from workflows.state.common import (
    Kind,
    Status,
    TransactionState,
)
from workflows.state.payment import BookedRefund


class RefundState(TransactionState):
    """Money given back."""

    kind: Literal[Kind.REFUND] = Kind.REFUND
    payment_id: str

    @property
    def refunded(self) -> Decimal:
        """Amount really given back."""
        return self.total(FactKind.REFUNDED)

    def booked(self) -> BookedRefund | None:
        """What the payment is told of a refund that succeeded; None for one that did not."""
        if self.status is not Status.Succeeded:
            return None
        booked_on = [f.booked_on for f in self.facts_of(FactKind.REFUNDED)]
        return BookedRefund(
            amount=self.refunded,
            psp_id=self.psp_transaction_id,
            booked_on=booked_on[-1] if booked_on else None,
        )

    @property
    def settled(self) -> bool:
        return self.ended or self.status is Status.Succeeded

    def _target(self, outcome: Outcome) -> Status:
        target = self._target_by_sum(outcome, FactKind.REFUNDED)
        # The contract knows no expired refund: its time ran out, so it failed.
        return Status.Failed if target is Status.Expired else target
