"""State of a refund."""

from decimal import Decimal
from typing import ClassVar, Literal

from integrator.psp.types import Declined, Fact, FactKind, Outcome
from workflows.state.evidence import Evidence
from workflows.state.payment import BookedRefund
from workflows.state.status import Change, Status, TransactionKind
from workflows.state.transaction import TransactionState


class RefundState(TransactionState):
    """Money given back to the payer."""

    movement_kind: ClassVar[FactKind] = FactKind.REFUNDED
    kind: Literal[TransactionKind.REFUND] = TransactionKind.REFUND
    payment_id: str

    @property
    def refunded(self) -> Decimal:
        """Return the amount refunded, less what was returned to us."""
        return self.total(FactKind.REFUNDED) - self.total(FactKind.RETURNED)

    def apply(self, outcome: Outcome, evidence: Evidence) -> Change:
        """Fold a report; a failure after the success means that the whole refund was returned.

        A refund is one object at the PSP, so its failure cannot be an older report.
        """
        if isinstance(outcome, Declined) and self.status is Status.Succeeded:
            return self._record_return(outcome, evidence)
        return super().apply(outcome, evidence)

    def _record_return(self, outcome: Declined, evidence: Evidence) -> Change:
        before = self.model_copy(deep=True)
        id = f"{self.psp_transaction_id or self.transaction_id}/returned"
        if self.refunded > 0:
            returned = Fact(kind=FactKind.RETURNED, id=id, amount=self.refunded)
            self._add_facts((returned,), evidence)
            self._add_attention(f"The refund came back; its payer still waits for the money: {id}")
        return self._finish_change(before, evidence.at)

    def booked_refund(self) -> BookedRefund | None:
        """Return the refund to be booked at the payment; None unless it succeeded."""
        if self.status is not Status.Succeeded:
            return None
        booked_on = [f.booked_on for f in self.facts_of(FactKind.REFUNDED)]
        return BookedRefund(
            amount=self.refunded,
            psp_id=self.psp_transaction_id,
            booked_on=booked_on[-1] if booked_on else None,
        )

    @property
    def is_final(self) -> bool:
        return self.ended or self.status is Status.Succeeded

    def _target_status(self, outcome: Outcome) -> Status:
        target = self._target_status_by_sum(outcome, FactKind.REFUNDED)
        # The contract has no expired refund: it failed.
        return Status.Failed if target is Status.Expired else target
