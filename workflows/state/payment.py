"""The state of a payment: movements, refunds, chargebacks and what refunds have reserved."""

from datetime import date, datetime
from decimal import Decimal
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from integrator.contract.enums import PaymentErrorCode
from integrator.psp.types import FactKind, Outcome
from workflows.state.external_movement import ExternalMovement, MovementStatus, adopted_by
from workflows.state.reservations import ReservingState
from workflows.state.status import ZERO, Change, Refusal, Status, TransactionKind, precondition


class BookedRefund(BaseModel):
    """A refund that reached its payment; keyed by the refund's transaction id."""

    model_config = ConfigDict(frozen=True)

    amount: Decimal
    psp_id: str | None
    booked_on: date | None


class PaymentState(ReservingState):
    """Money taken: movements, chargebacks, refunds and what refunds have reserved."""

    movement: ClassVar[FactKind] = FactKind.PAID
    kind: Literal[TransactionKind.PAYMENT] = TransactionKind.PAYMENT
    due_date: date | None = None
    refunds: dict[str, BookedRefund] = Field(default_factory=dict)
    reservations: dict[str, Decimal] = Field(default_factory=dict)

    @property
    def succeeded_at(self) -> datetime:
        """Since when the money is ours; chargebacks are counted from here."""
        return self.evidence.at if self.evidence else self.last_updated

    @property
    def paid(self) -> Decimal:
        """Sum of the movements received."""
        return self.total(FactKind.PAID)

    @property
    def refunded(self) -> Decimal:
        """Sum of the refunds done."""
        return sum((r.amount for r in self.refunds.values()), ZERO)

    @property
    def refundable(self) -> Decimal:
        """What could still be given back; 0 unless the payment succeeded."""
        if self.status is not Status.Succeeded:
            return ZERO
        return max(ZERO, self.paid - self.refunded - self.total(FactKind.CHARGED_BACK))

    @property
    def available(self) -> Decimal:
        """What a new refund may take: refundable less what open refunds hold."""
        return max(ZERO, self.refundable - sum(self.reservations.values(), ZERO))

    def refuse_refund(self, amount: Decimal, currency: str, by: str) -> Refusal | None:
        """Why the refund `by` may not be made, or None; checks in the contract's order."""
        if self._holds_for(by):
            return None
        if self.status is not Status.Succeeded:
            return precondition(f"The payment is {self.status.name}, not Succeeded.")
        if currency != self.currency:
            return Refusal(
                code=PaymentErrorCode.InvalidCurrency,
                message=f"The payment is in {self.currency}, not in {currency}.",
            )
        if amount > self.available:
            return Refusal(
                code=PaymentErrorCode.InvalidAmount,
                message=f"Requested {amount} {currency}, refundable "
                f"{self.available} {self.currency}.",
            )
        return None

    def reserve(self, by: str, amount: Decimal, currency: str) -> Refusal | None:
        """Hold `amount` for the refund `by`; a repeat of the same refund is fine."""
        refusal = self.refuse_refund(amount, currency, by)
        if refusal is None and not self._holds_for(by):
            self.reservations[by] = amount
            self.version += 1
        return refusal

    def close_reservation(self, by: str, booked: BookedRefund | None, now: datetime) -> Change:
        """The refund `by` was done, in whole or but for what came back; or it failed."""
        before = self.model_copy(deep=True)
        self.reservations.pop(by, None)
        if booked is not None:
            # Told twice, the smaller one is the newer: money of a refund came back.
            self.refunds[by] = min(self.refunds.get(by, booked), booked, key=lambda b: b.amount)
            if booked.psp_id is not None:
                # Adopted before its own answer came: it is one refund, and it is ours.
                self.refunds.pop(adopted_by(booked.psp_id), None)
                self.fact_sources.pop(adopted_by(booked.psp_id), None)
                self.reservations.pop(adopted_by(booked.psp_id), None)
        return self._close(before, now)

    def has_adopted(self, psp_id: str) -> bool:
        """Whether that movement at the PSP is in this state, by whomever it was made."""
        return any(refund.psp_id == psp_id for refund in self.refunds.values())

    def record_external_movement(self, adoption: ExternalMovement, now: datetime) -> Change:
        """A refund made without us counts like one of ours, keyed by the PSP's id."""
        if self.has_adopted(adoption.psp_id):
            return self._come_back(adoption, now)
        if adoption.currency != self.currency:
            return self.flag_attention(
                f"The PSP reports the refund {adoption.psp_id} in another currency."
            )
        before = self.model_copy(deep=True)
        self.reservations.pop(adoption.by, None)
        if adoption.status is MovementStatus.OPEN:
            self.reservations[adoption.by] = adoption.amount
        elif adoption.status is MovementStatus.BOOKED:
            self.refunds[adoption.by] = BookedRefund(
                amount=adoption.amount, psp_id=adoption.psp_id, booked_on=adoption.booked_on
            )
            self.fact_sources[adoption.by] = adoption.evidence(now)
        if self._overdrawn():
            self._attend("Refunds made and under way exceed what is left of the payment.")
        return self._close(before, now)

    def _come_back(self, adoption: ExternalMovement, now: datetime) -> Change:
        """A refund made without us had been done and has failed; ours report that themselves."""
        if adoption.status is not MovementStatus.FAILED or adoption.by not in self.refunds:
            return Change.NONE
        before = self.model_copy(deep=True)
        del self.refunds[adoption.by]
        self.fact_sources.pop(adoption.by, None)
        self._attend(f"The refund {adoption.psp_id} came back; its payer waits for the money.")
        return self._close(before, now)

    def ignores(self, adoption: ExternalMovement) -> bool:
        """True when adopting would change nothing, now."""
        trial = self.model_copy(deep=True)
        return trial.record_external_movement(adoption, self.last_updated) is Change.NONE

    def _holds_for(self, by: str) -> bool:
        return by in self.reservations or by in self.refunds

    def _overdrawn(self) -> bool:
        open_refunds = sum(self.reservations.values(), ZERO)
        taken_back = self.refunded + self.total(FactKind.CHARGED_BACK)
        return self.paid > 0 and taken_back + open_refunds > self.paid

    def _target(self, outcome: Outcome) -> Status:
        return self._target_by_sum(outcome, FactKind.PAID)
