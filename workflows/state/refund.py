"""The state of a refund."""

from decimal import Decimal
from typing import ClassVar, Literal

from integrator.psp.types import Declined, Fact, FactKind, Outcome
from workflows.state.evidence import Evidence
from workflows.state.payment import BookedRefund
from workflows.state.status import Change, Status, TransactionKind
from workflows.state.transaction import TransactionState


class RefundState(TransactionState):
    """Money given back."""

    movement: ClassVar[FactKind] = FactKind.REFUNDED
    kind: Literal[TransactionKind.REFUND] = TransactionKind.REFUND
    payment_id: str

    @property
    def refunded(self) -> Decimal:
        """Amount really given back, less what came back to us."""
        return self.total(FactKind.REFUNDED) - self.total(FactKind.RETURNED)

    def apply(self, outcome: Outcome, evidence: Evidence) -> Change:
        """As for all kinds; a refund that was done and has failed has come back in whole.

        A refund is one object at the PSP, so that its failure cannot be an older report.
        """
        if isinstance(outcome, Declined) and self.status is Status.Succeeded:
            return self._come_back(outcome, evidence)
        return super().apply(outcome, evidence)

    def _come_back(self, outcome: Declined, evidence: Evidence) -> Change:
        before = self.model_copy(deep=True)
        id = f"{self.psp_transaction_id or self.transaction_id}/returned"
        if self.refunded > 0:
            back = Fact(kind=FactKind.RETURNED, id=id, amount=self.refunded)
            self._take((back,), evidence)
            self._attend(f"The refund came back; its payer still waits for the money: {id}")
        return self._close(before, evidence.at)

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
    def is_final(self) -> bool:
        return self.ended or self.status is Status.Succeeded

    def _target(self, outcome: Outcome) -> Status:
        target = self._target_by_sum(outcome, FactKind.REFUNDED)
        # The contract knows no expired refund: its time ran out, so it failed.
        return Status.Failed if target is Status.Expired else target
