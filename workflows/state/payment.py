"""State of a payment: movements, refunds, chargebacks and refunds' reservations."""

from datetime import date, datetime
from decimal import Decimal
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from integrator.contract.enums import PaymentErrorCode
from integrator.contract.money import BoundedAmount
from integrator.psp.types import Fact, FactKind, Outcome
from workflows.state.evidence import Evidence
from workflows.state.external_movement import (
    ExternalMovement,
    MovementStatus,
    external_movement_key,
)
from workflows.state.reservations import ReservingState
from workflows.state.status import (
    ZERO,
    Change,
    Refusal,
    Status,
    TransactionKind,
    precondition_refusal,
)


class BookedRefund(BaseModel):
    """A booked refund of a payment; keyed by the refund's transaction id."""

    model_config = ConfigDict(frozen=True)

    amount: BoundedAmount
    psp_id: str | None
    booked_on: date | None


class PaymentState(ReservingState):
    """Money taken, charged back, refunded, and reserved for refunds.

    `send_at` is when a debit is sent whose PSP did not take its date at the time of the request.
    """

    movement_kind: ClassVar[FactKind] = FactKind.PAID
    kind: Literal[TransactionKind.PAYMENT] = TransactionKind.PAYMENT
    due_date: date | None = None
    send_at: datetime | None = None
    refunds: dict[str, BookedRefund] = Field(default_factory=dict)
    reservations: dict[str, Decimal] = Field(default_factory=dict)

    @property
    def succeeded_at(self) -> datetime:
        """Return the time of the success; the chargeback window starts here."""
        return self.evidence.at if self.evidence else self.last_updated

    @property
    def waiting_until(self) -> datetime | None:
        """Return until when this debit waits; None if it does not, or is answered."""
        return self.send_at if self.undecided and not self.answered else None

    @property
    def paid(self) -> Decimal:
        """Return the sum of the movements received."""
        return self.total(FactKind.PAID)

    @property
    def refunded(self) -> Decimal:
        """Return the sum of the booked refunds."""
        return sum((r.amount for r in self.refunds.values()), ZERO)

    @property
    def charged_back(self) -> Decimal:
        """Return the sum of the chargebacks, less what came back of each."""
        chargebacks = self.facts_of(FactKind.CHARGED_BACK)
        return sum((fact.amount - self.reversed_amount(fact) for fact in chargebacks), ZERO)

    def reversed_amount(self, chargeback: Fact) -> Decimal:
        """Return what came back of a chargeback, at most its amount.

        A reversal of a chargeback that is not known counts only once that is.
        """
        return min(self.reported_reversals(chargeback), chargeback.amount)

    def reported_reversals(self, chargeback: Fact) -> Decimal:
        """Return the sum of the reversals that name a chargeback."""
        reversals = self.facts_of(FactKind.CHARGEBACK_REVERSED)
        return sum((fact.amount for fact in reversals if fact.reverses == chargeback.id), ZERO)

    @property
    def refundable(self) -> Decimal:
        """Return what could still be refunded; 0 unless the payment succeeded."""
        if self.status is not Status.Succeeded:
            return ZERO
        return max(ZERO, self.paid - self.refunded - self.charged_back)

    @property
    def available(self) -> Decimal:
        """Return what a new refund may take: refundable less open reservations."""
        return max(ZERO, self.refundable - sum(self.reservations.values(), ZERO))

    def check_refund(self, amount: Decimal, currency: str, by: str) -> Refusal | None:
        """Return why the refund `by` is refused, or None; checks in the contract's order."""
        if self._has_reservation_for(by):
            return None
        if self.status is not Status.Succeeded:
            return precondition_refusal(f"The payment is {self.status.name}, not Succeeded.")
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
        """Reserve `amount` for the refund `by`; a repetition is granted without effect."""
        refusal = self.check_refund(amount, currency, by)
        if refusal is None and not self._has_reservation_for(by):
            self.reservations[by] = amount
            self.version += 1
        return refusal

    def close_reservation(self, by: str, booked: BookedRefund | None, now: datetime) -> Change:
        """Book the refund `by`, less what was returned, or release its reservation if it failed."""
        before = self.model_copy(deep=True)
        self.reservations.pop(by, None)
        if booked is not None:
            self._book(by, booked)
        return self._finish_change(before, now)

    def includes_movement(self, psp_id: str) -> bool:
        """Return whether the state includes this refund of the PSP, ours or external."""
        return any(refund.psp_id == psp_id for refund in self.refunds.values())

    def record_external_movement(self, movement: ExternalMovement, now: datetime) -> Change:
        """Record an external refund, keyed by the PSP's id; it counts like one of ours."""
        if self.includes_movement(movement.psp_id):
            return self._reverse_external_refund(movement, now)
        if movement.currency != self.currency:
            return self.flag_attention(
                f"The PSP reports the refund {movement.psp_id} in another currency."
            )
        before = self.model_copy(deep=True)
        self.reservations.pop(movement.key, None)
        if movement.status is MovementStatus.OPEN:
            self.reservations[movement.key] = movement.amount
        elif movement.status is MovementStatus.BOOKED:
            self.refunds[movement.key] = BookedRefund(
                amount=movement.amount, psp_id=movement.psp_id, booked_on=movement.booked_on
            )
            self.fact_sources[movement.key] = movement.evidence(now)
        if self._is_overdrawn():
            self._add_attention("Refunds made and under way exceed what is left of the payment.")
        return self._finish_change(before, now)

    def _reverse_external_refund(self, movement: ExternalMovement, now: datetime) -> Change:
        """Remove an external refund that was booked and has failed; ours report that themselves."""
        if movement.status is not MovementStatus.FAILED or movement.key not in self.refunds:
            return Change.NONE
        before = self.model_copy(deep=True)
        del self.refunds[movement.key]
        self.fact_sources.pop(movement.key, None)
        self._add_attention(
            f"The refund {movement.psp_id} came back; its payer waits for the money."
        )
        return self._finish_change(before, now)

    def ignores_movement(self, movement: ExternalMovement) -> bool:
        """Return whether recording the movement would change nothing now."""
        trial = self.model_copy(deep=True)
        return trial.record_external_movement(movement, self.last_updated) is Change.NONE

    def _add_own_holds(self, own: Self) -> None:
        for by in list(self.reservations):
            if own.has_ended_attempt(by, self):
                del self.reservations[by]
        for by, amount in own.reservations.items():
            if not self._has_reservation_for(by) and own.has_later_attempt(by, self):
                self.reservations[by] = amount
        for by, refund in own.refunds.items():
            if refund.psp_id is None or by != external_movement_key(refund.psp_id):
                self._book(by, refund)
            else:
                self._add_external_refund(by, refund, own.fact_sources.get(by))
        self._unite_attempts(own)

    def _add_external_refund(self, by: str, refund: BookedRefund, source: Evidence | None) -> None:
        """Add an external refund of another run, unless this one has removed it since."""
        is_newer = source is not None and source.at > self.last_updated
        if source is None or not is_newer or self.includes_movement(refund.psp_id or ""):
            return
        self.reservations.pop(by, None)
        self.refunds[by], self.fact_sources[by] = refund, source

    def _book(self, by: str, booked: BookedRefund) -> None:
        self.reservations.pop(by, None)
        # Of two results the smaller is the newer: money of a refund was returned.
        self.refunds[by] = min(self.refunds.get(by, booked), booked, key=lambda b: b.amount)
        if booked.psp_id is not None:
            # Recorded as external before its own result came: it is one refund, and ours.
            self.refunds.pop(external_movement_key(booked.psp_id), None)
            self.fact_sources.pop(external_movement_key(booked.psp_id), None)
            self.reservations.pop(external_movement_key(booked.psp_id), None)

    def _has_reservation_for(self, by: str) -> bool:
        return by in self.reservations or by in self.refunds

    def _is_overdrawn(self) -> bool:
        open_refunds = sum(self.reservations.values(), ZERO)
        taken_back = self.refunded + self.charged_back
        return self.paid > 0 and taken_back + open_refunds > self.paid

    def _target_status(self, outcome: Outcome) -> Status:
        return self._target_status_by_sum(outcome, FactKind.PAID)
