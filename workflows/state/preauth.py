"""The state of a preauth: a reservation, a stored payment method or a mandate."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import ClassVar, Literal, assert_never

from pydantic import BaseModel, ConfigDict

from integrator.contract.enums import PaymentErrorCode
from integrator.psp.types import (
    Approved,
    Declined,
    Fact,
    FactKind,
    Outcome,
    Pending,
    RedirectRequired,
)
from workflows.state.evidence import Evidence
from workflows.state.external_movement import ExternalMovement, MovementStatus, adopted_by
from workflows.state.operator_decision import Decision
from workflows.state.reservations import ReservingState
from workflows.state.status import TICK, Change, Refusal, Status, TransactionKind, precondition


class AdoptedCapture(BaseModel):
    """A capture that was made without us and took the reservation."""

    model_config = ConfigDict(frozen=True)

    psp_id: str
    amount: Decimal


class PreauthState(ReservingState):
    """A reservation, a stored payment method or a mandate; its currency amounts are major units."""

    movement: ClassVar[FactKind] = FactKind.AUTHORIZED
    kind: Literal[TransactionKind.PREAUTH] = TransactionKind.PREAUTH
    session_expires_at: datetime | None = None
    captured_by: str | None = None
    captured: bool = False
    cancelling: bool = False
    voids: int = 0
    void_accepted_at: datetime | None = None
    adopted: AdoptedCapture | None = None

    @property
    def authorized_amount(self) -> Decimal:
        """Amount really reserved, in major units; 0 if the PSP reserves nothing."""
        return self.total(FactKind.AUTHORIZED)

    @property
    def expires_at(self) -> datetime | None:
        """End of the reservation; None when nothing is reserved or it has no end."""
        ends = [f.expires_at for f in self.facts_of(FactKind.AUTHORIZED) if f.expires_at]
        return min(ends) if ends else None

    @property
    def authorization_id(self) -> str | None:
        """The PSP's id of the reservation."""
        facts = self.facts_of(FactKind.AUTHORIZED)
        return facts[0].id if facts else None

    @property
    def ends_at(self) -> datetime | None:
        """When the open session or the uncaptured reservation runs out."""
        if self.undecided:
            return self.session_expires_at
        if self.status is Status.Succeeded and self.captured_by is None:
            return self.expires_at
        return None

    @property
    def void_target(self) -> str | None:
        """What to void at the PSP; None when nothing is held there."""
        if self.undecided:
            return self.psp_session_id or self.psp_transaction_id
        return self.authorization_id

    @property
    def is_final(self) -> bool:
        nothing_reserved = self.status is Status.Succeeded and not self.facts
        return self.ended or self.captured or nothing_reserved

    def apply(self, outcome: Outcome, evidence: Evidence) -> Change:
        """As for all kinds; what a capture has left, or is about to take, may end unnoticed.

        A capture that fails lets go of it, and then the PSP is asked again.
        """
        if isinstance(outcome, Declined) and self.captured_by is not None:
            return Change.NONE
        return super().apply(outcome, evidence)

    def _keep(self, facts: tuple[Fact, ...], evidence: Evidence) -> None:
        """A reservation that has ended still shows its amount, told before its end or after."""
        if self.status in (Status.Cancelled, Status.Expired):
            self._take(facts, evidence)

    def _refuse_success(self, decision: Decision) -> Refusal | None:
        return precondition("What to charge later comes from the PSP alone: it has to be asked.")

    def refuse_capture(self, amount: Decimal, currency: str, by: str) -> Refusal | None:
        """Why the payment `by` may not capture, or None."""
        if self._holds_for(by):
            return None
        if self.status is not Status.Succeeded:
            return precondition(f"The preauth is {self.status.name}, not Succeeded.")
        if self.captured_by is not None and not self._offers(amount):
            return precondition("The preauth is captured already.")
        if self.cancelling:
            return precondition("The preauth is being cancelled.")
        if self.authorization_id is None:
            return precondition("The preauth has no reservation to capture.")
        if currency != self.currency:
            return Refusal(
                code=PaymentErrorCode.InvalidCurrency,
                message=f"The preauth is in {self.currency}, not in {currency}.",
            )
        if amount > self.authorized_amount:
            return Refusal(
                code=PaymentErrorCode.InvalidAmount,
                message=f"Requested {amount} {currency}, authorised "
                f"{self.authorized_amount} {self.currency}.",
            )
        return None

    def reserve(self, by: str, amount: Decimal, currency: str) -> Refusal | None:
        """Hold the reservation for the payment `by`; a repeat of the same payment is fine."""
        refusal = self.refuse_capture(amount, currency, by)
        if refusal is None and not self._holds_for(by):
            self.captured_by = by
            self.version += 1
        return refusal

    def taken_by(self, by: str) -> str | None:
        """The PSP's id of the capture made without us that the payment `by` stands for."""
        return self.adopted.psp_id if self.adopted and self.captured_by == by else None

    def has_adopted(self, psp_id: str) -> bool:
        """Whether that movement at the PSP is in this state."""
        return self.adopted is not None and self.adopted.psp_id == psp_id

    def record_external_movement(self, adoption: ExternalMovement, now: datetime) -> Change:
        """A capture made without us takes the reservation.

        Nothing on the wire shows it, yet Billwerk+ must hear of it: what it plans with the
        reservation will not work.
        """
        if self.has_adopted(adoption.psp_id) or self.undecided:
            return Change.NONE
        if adoption.status is MovementStatus.FAILED:
            return self._hold_for(adoption, None)
        if self.captured_by not in (None, adoption.by):
            return self._second_capture(adoption)
        if self.ended or adoption.currency != self.currency:
            return self.flag_attention(
                f"The PSP reports the capture {adoption.psp_id} of {adoption.amount} "
                f"{adoption.currency} on a reservation that is {self.status.name}."
            )
        if adoption.status is MovementStatus.OPEN:
            return self._hold_for(adoption, adoption.by)
        self.adopted = AdoptedCapture(psp_id=adoption.psp_id, amount=adoption.amount)
        self.fact_sources[adoption.by] = adoption.evidence(now)
        self.captured_by, self.captured = adoption.by, True
        self.version += 1
        self.last_updated = max(now.astimezone(UTC), self.last_updated + TICK)
        return Change.VISIBLE

    def close_reservation(self, by: str, booked: bool) -> None:
        """The capture `by` succeeded, or failed and gives the reservation back."""
        if self.taken_by(by) is not None and not booked:
            self._give_back()
        if self.captured_by != by or self.captured:
            return
        self.captured = booked
        if not booked:
            self.captured_by = None
        self.version += 1

    def ignores(self, adoption: ExternalMovement) -> bool:
        """True when adopting would change nothing, now."""
        trial = self.model_copy(deep=True)
        return trial.record_external_movement(adoption, self.last_updated) is Change.NONE

    def _holds_for(self, by: str) -> bool:
        return self.captured_by == by

    def _offers(self, amount: Decimal) -> bool:
        """Whether a capture made without us waits for a payment of its amount to stand for it."""
        adopted = self.adopted
        if adopted is None or self.captured_by != adopted_by(adopted.psp_id):
            return False
        return amount == adopted.amount

    def _give_back(self) -> None:
        if self.adopted is not None:
            self.captured_by = adopted_by(self.adopted.psp_id)
            self.version += 1

    def _hold_for(self, adoption: ExternalMovement, holder: str | None) -> Change:
        """While the PSP has not decided a capture made without us, nobody else may capture."""
        if self.captured_by not in (None, adoption.by) or self.captured_by == holder:
            return Change.NONE
        self.captured_by = holder
        self.version += 1
        return Change.INTERNAL

    def _second_capture(self, adoption: ExternalMovement) -> Change:
        """Our own capture, still open, may turn out to be this one; a finished one is another."""
        if not self.captured or adoption.status is not MovementStatus.BOOKED:
            return Change.NONE
        return self.flag_attention(
            f"The PSP reports the capture {adoption.psp_id} besides an earlier one."
        )

    def refuse_cancel(self) -> Refusal | None:
        """Why the preauth cannot be cancelled, or None."""
        if self.status in (Status.Failed, Status.Expired):
            return precondition(f"The preauth is {self.status.name}.")
        if self.captured_by is not None:
            return precondition("The preauth is captured.")
        if self.undecided and self.void_target is None:
            return precondition("The PSP has not answered the preauth yet.")
        return None

    def begin_void(self) -> None:
        """A void is on its way to the PSP: captures are refused until it has ended."""
        self.cancelling = True
        self.version += 1

    def accept_void(self, now: datetime) -> None:
        """The PSP will carry the void out later: until then "still held" is no answer."""
        if self.void_accepted_at is None:
            self.void_accepted_at = now
            self.version += 1

    def end_void(self) -> None:
        """The PSP keeps the reservation; another void is another operation, with its own key."""
        self.cancelling = False
        self.void_accepted_at = None
        self.voids += 1
        self.version += 1

    def _target(self, outcome: Outcome) -> Status:
        match outcome:
            case Approved():
                return Status.Succeeded
            case Pending():
                return Status.Pending
            case RedirectRequired():
                return self.status
            case Declined():
                return outcome.status
            case _:
                assert_never(outcome)

    def _merge(self, outcome: Outcome, evidence: Evidence) -> None:
        super()._merge(outcome, evidence)
        if isinstance(outcome, RedirectRequired):
            self.psp_session_id = outcome.psp_id
            self.session_expires_at = outcome.expires_at
