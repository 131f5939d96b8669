"""State of a preauth: a reservation, a stored payment method or a mandate."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import ClassVar, Literal, Self, assert_never

from pydantic import BaseModel, ConfigDict

from integrator.contract.enums import PaymentErrorCode
from integrator.contract.times import UtcTime
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
from workflows.state.external_movement import (
    ExternalMovement,
    MovementStatus,
    external_movement_key,
)
from workflows.state.operator_decision import Decision
from workflows.state.reservations import ReservingState
from workflows.state.status import (
    TICK,
    Change,
    Refusal,
    Status,
    TransactionKind,
    precondition_refusal,
)


class ExternalCapture(BaseModel):
    """An external capture that took the reservation."""

    model_config = ConfigDict(frozen=True)

    psp_id: str
    amount: Decimal


class PreauthState(ReservingState):
    """A reservation, a stored payment method or a mandate; amounts are in major units."""

    movement_kind: ClassVar[FactKind] = FactKind.AUTHORIZED
    kind: Literal[TransactionKind.PREAUTH] = TransactionKind.PREAUTH
    session_expires_at: UtcTime | None = None
    captured_by: str | None = None
    captured: bool = False
    cancelling: bool = False
    voids: int = 0
    void_accepted_at: datetime | None = None
    expiring: bool = False
    adopted: ExternalCapture | None = None

    @property
    def authorized_amount(self) -> Decimal:
        """Return the amount reserved, in major units; 0 if the PSP reserves nothing."""
        return self.total(FactKind.AUTHORIZED)

    @property
    def expires_at(self) -> datetime | None:
        """Return the end of the reservation; None if nothing is reserved or it has no end."""
        ends = [f.expires_at for f in self.facts_of(FactKind.AUTHORIZED) if f.expires_at]
        return min(ends) if ends else None

    @property
    def authorization_id(self) -> str | None:
        """Return the PSP's id of the reservation."""
        facts = self.facts_of(FactKind.AUTHORIZED)
        return facts[0].id if facts else None

    @property
    def ends_at(self) -> datetime | None:
        """Return when the open session or the uncaptured reservation expires."""
        if self.undecided:
            return self.session_expires_at
        if self.status is Status.Succeeded and self.captured_by is None:
            return self.expires_at
        return None

    @property
    def void_target(self) -> str | None:
        """Return the PSP's id to void; None if nothing is held there."""
        if self.undecided:
            return self.psp_session_id or self.psp_transaction_id
        return self.authorization_id

    @property
    def void_open(self) -> bool:
        """Return whether a void is under way; one beside a capture has no effect."""
        return self.cancelling and not self.ended and self.captured_by is None

    @property
    def is_final(self) -> bool:
        nothing_reserved = self.status is Status.Succeeded and not self.facts
        return self.ended or self.captured or nothing_reserved

    def apply(self, outcome: Outcome, evidence: Evidence) -> Change:
        """Fold a report; while a capture holds the reservation, its end is ignored.

        If the capture fails it releases the reservation, and then the PSP is asked again.
        """
        if isinstance(outcome, Declined) and self.captured_by is not None:
            return Change.NONE
        return super().apply(outcome, evidence)

    def _add_late_facts(self, facts: tuple[Fact, ...], evidence: Evidence) -> None:
        """Store the amount of an ended reservation, whether reported before its end or after."""
        if self.status in (Status.Cancelled, Status.Expired):
            self._add_facts(facts, evidence)

    def _check_success(self, decision: Decision) -> Refusal | None:
        return precondition_refusal(
            "What to charge later comes from the PSP alone: it has to be asked."
        )

    def check_capture(self, amount: Decimal, currency: str, by: str) -> Refusal | None:
        """Return why the capture `by` is refused, or None."""
        if self._has_reservation_for(by):
            return None
        if self.status is not Status.Succeeded:
            return precondition_refusal(f"The preauth is {self.status.name}, not Succeeded.")
        if self.captured_by is not None and not self._offers_external_capture(amount):
            return precondition_refusal("The preauth is captured already.")
        if self.cancelling:
            return precondition_refusal("The preauth is being cancelled.")
        if self.authorization_id is None:
            return precondition_refusal("The preauth has no reservation to capture.")
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
        """Reserve for the capture `by`; a repetition is granted without effect."""
        refusal = self.check_capture(amount, currency, by)
        if refusal is None and not self._has_reservation_for(by):
            self.captured_by = by
            self.version += 1
        return refusal

    def external_capture_id(self, by: str) -> str | None:
        """Return the PSP's id of the external capture that the payment `by` stands for."""
        return self.adopted.psp_id if self.adopted and self.captured_by == by else None

    def includes_movement(self, psp_id: str) -> bool:
        """Return whether the state includes this capture of the PSP as an external one."""
        return self.adopted is not None and self.adopted.psp_id == psp_id

    def record_external_movement(self, movement: ExternalMovement, now: datetime) -> Change:
        """Record an external capture, which takes the reservation.

        The change is visible although no API field shows it: Billwerk+ must be notified, because
        its own use of the reservation will fail.
        """
        if self.includes_movement(movement.psp_id) or self.undecided:
            return Change.NONE
        if movement.status is MovementStatus.FAILED:
            return self._set_holder(movement, None)
        if self.captured_by not in (None, movement.key):
            return self._flag_second_capture(movement)
        if self.ended or movement.currency != self.currency:
            return self.flag_attention(
                f"The PSP reports the capture {movement.psp_id} of {movement.amount} "
                f"{movement.currency} on a reservation that is {self.status.name}."
            )
        if movement.status is MovementStatus.OPEN:
            return self._set_holder(movement, movement.key)
        self.adopted = ExternalCapture(psp_id=movement.psp_id, amount=movement.amount)
        self.fact_sources[movement.key] = movement.evidence(now)
        self.captured_by, self.captured = movement.key, True
        self.version += 1
        self.last_updated = max(now.astimezone(UTC), self.last_updated + TICK)
        return Change.VISIBLE

    def close_reservation(self, by: str, booked: bool) -> None:
        """Mark the capture `by` as booked, or release the reservation if it failed."""
        if self.external_capture_id(by) is not None and not booked:
            self._restore_external_capture()
        if self.captured_by != by or self.captured:
            return
        self.captured = booked
        if not booked:
            self.captured_by = None
        self.version += 1

    def ignores_movement(self, movement: ExternalMovement) -> bool:
        """Return whether recording the movement would change nothing now."""
        trial = self.model_copy(deep=True)
        return trial.record_external_movement(movement, self.last_updated) is Change.NONE

    def _has_reservation_for(self, by: str) -> bool:
        return self.captured_by == by

    def _offers_external_capture(self, amount: Decimal) -> bool:
        """Return whether an external capture of this amount is without a payment of ours."""
        capture = self.adopted
        if capture is None or self.captured_by != external_movement_key(capture.psp_id):
            return False
        return amount == capture.amount

    def _restore_external_capture(self) -> None:
        if self.adopted is not None:
            self.captured_by = external_movement_key(self.adopted.psp_id)
            self.version += 1

    def _set_holder(self, movement: ExternalMovement, holder: str | None) -> Change:
        """Block or unblock other captures while the PSP decides an external one."""
        if self.captured_by not in (None, movement.key) or self.captured_by == holder:
            return Change.NONE
        self.captured_by = holder
        self.version += 1
        return Change.INTERNAL

    def _flag_second_capture(self, movement: ExternalMovement) -> Change:
        """Flag a capture besides a booked one; one that is open may turn out to be the same."""
        if not self.captured or movement.status is not MovementStatus.BOOKED:
            return Change.NONE
        return self.flag_attention(
            f"The PSP reports the capture {movement.psp_id} besides an earlier one."
        )

    def check_cancel(self) -> Refusal | None:
        """Return why the cancellation is refused, or None."""
        if self.status in (Status.Failed, Status.Expired):
            return precondition_refusal(f"The preauth is {self.status.name}.")
        if self.captured_by is not None:
            return precondition_refusal("The preauth is captured.")
        if self.undecided and self.void_target is None:
            return precondition_refusal("The PSP has not answered the preauth yet.")
        return None

    def begin_void(self, *, expiring: bool = False) -> None:
        """Mark a void as sent: captures are refused until it has ended.

        `expiring`: no caller has requested it, the reservation has outlived its declared end.
        """
        self.cancelling = True
        self.expiring = expiring
        self.version += 1

    def accept_void(self, now: datetime) -> None:
        """Mark the void as accepted: until it is executed, "still held" is not its outcome."""
        if self.void_accepted_at is None:
            self.void_accepted_at = now
            self.version += 1

    def end_void(self) -> None:
        """Mark the void as failed; the next void is another operation with its own key."""
        self.cancelling = self.expiring = False
        self.void_accepted_at = None
        self.voids += 1
        self.version += 1

    def _add_own_holds(self, own: Self) -> None:
        self._unite_capture(own)
        if self.psp_session_id is None and self.undecided:
            self.psp_session_id = own.psp_session_id
            self.session_expires_at = own.session_expires_at
        self._unite_void(own)
        self._unite_attempts(own)

    def _unite_capture(self, own: Self) -> None:
        """Take the later holder of the reservation; a booked capture always counts."""
        holder, own_holder = self.captured_by, own.captured_by
        if holder is not None and not self.captured and own.has_ended_attempt(holder, self):
            self.captured_by = None
        is_external = False
        if own.adopted is not None and self.adopted is None:
            key = external_movement_key(own.adopted.psp_id)
            self.adopted, is_external = own.adopted, own_holder == key
            self.fact_sources |= {id: e for id, e in own.fact_sources.items() if id == key}
        if own_holder is None or self.captured or self.captured_by not in (None, own_holder):
            return
        is_later = is_external or own.captured or own.has_later_attempt(own_holder, self)
        if is_later or self.captured_by == own_holder:
            self.captured_by, self.captured = own_holder, own.captured

    def _unite_void(self, own: Self) -> None:
        """Take the later void; one without effect is ended by the capture that was stored."""
        if own.voids > self.voids:
            self.voids, self.cancelling = own.voids, own.cancelling
            self.void_accepted_at, self.expiring = own.void_accepted_at, own.expiring
        elif own.voids == self.voids and own.cancelling and not self.ended:
            self.expiring = own.expiring and (self.expiring or not self.cancelling)
            self.cancelling = True
            self.void_accepted_at = self.void_accepted_at or own.void_accepted_at
        if self.captured_by is not None:
            self.cancelling = self.expiring = False
            self.void_accepted_at = None

    def _target_status(self, outcome: Outcome) -> Status:
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
