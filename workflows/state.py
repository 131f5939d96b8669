"""The pure state machine of a transaction: a fold over the facts a PSP vouches for.

No Temporal, no I/O, no clock: every function is told the time. The three states share one base;
what differs is which facts count and what they mean. Facts are keyed by the PSP's own ids, so
their order and repetition cannot matter. A state is at once what a query answers, what the store
keeps as its snapshot and what a continued or reopened workflow starts from.
"""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Literal, assert_never

from pydantic import BaseModel, ConfigDict, Field

from contract.enums import PaymentErrorCode, PaymentTransactionStatus, PublicPaymentProviderRole
from psp.types import Approved, Declined, Fact, FactKind, Outcome, Pending, RedirectRequired

Status = PaymentTransactionStatus
ZERO = Decimal(0)
TICK = timedelta(microseconds=1)
ENDED = frozenset({Status.Failed, Status.Cancelled, Status.Expired})
TERMINAL = ENDED | {Status.Succeeded}


class Kind(StrEnum):
    """The three kinds of transaction, as they appear in workflow ids and in the store."""

    PREAUTH = "preauth"
    PAYMENT = "payment"
    REFUND = "refund"


class EvidenceKind(StrEnum):
    """Why a terminal state may be believed."""

    ANSWER = "answer"  # the PSP's synchronous answer, a replayed one included
    NOTIFICATION = "notification"  # a verified notification
    READ = "read"  # a consistent read at the PSP
    VOID = "void"  # a confirmed void
    NOT_SENT = "not_sent"  # refused by ourselves before anything was sent to the PSP


class Evidence(BaseModel):
    """One proof: its kind, where it came from (event id, operation), and when we had it."""

    model_config = ConfigDict(frozen=True)

    kind: EvidenceKind
    source: str
    at: datetime


class Failure(BaseModel):
    """Why a transaction failed, in the contract's words."""

    model_config = ConfigDict(frozen=True)

    code: PaymentErrorCode
    psp_code: str | None
    message: str | None
    received_at: datetime


class Refusal(BaseModel):
    """Why a state does not allow an operation."""

    model_config = ConfigDict(frozen=True)

    code: PaymentErrorCode
    message: str


class Change(StrEnum):
    """What a fold did: nothing, something only we see, or something Billwerk+ must hear of."""

    NONE = "none"
    INTERNAL = "internal"
    VISIBLE = "visible"


TRANSITIONS: dict[Kind, dict[Status, frozenset[Status]]] = {
    Kind.PREAUTH: {
        Status.Initiated: frozenset({Status.Pending, *TERMINAL}),
        Status.Pending: frozenset({Status.Pending, *TERMINAL}),
        Status.Succeeded: frozenset({Status.Succeeded, Status.Cancelled, Status.Expired}),
    },
    Kind.PAYMENT: {
        Status.Initiated: frozenset({Status.Pending, *TERMINAL}),
        Status.Pending: frozenset({Status.Pending, *TERMINAL}),
        Status.Succeeded: frozenset({Status.Succeeded}),
    },
    Kind.REFUND: {
        Status.Initiated: frozenset(
            {Status.Pending, Status.Succeeded, Status.Failed, Status.Cancelled}
        ),
        Status.Pending: frozenset(
            {Status.Pending, Status.Succeeded, Status.Failed, Status.Cancelled}
        ),
        Status.Succeeded: frozenset({Status.Succeeded}),
    },
}
"""The contract's table of transitions; what it does not name is left for an operator to judge."""


BOOKKEEPING = {
    *("version", "last_updated", "evidence", "attention", "answered"),
    *("session_expires_at", "captured_by", "captured", "cancelling", "reservations"),
}
"""Members of a state that appear nowhere on the wire."""


class TransactionState(BaseModel):
    """What all kinds share; `version` counts changes, `last_updated` dates the visible ones."""

    kind: Kind
    transaction_id: str
    external_id: str
    role: PublicPaymentProviderRole
    currency: str
    requested_amount: Decimal
    status: Status = Status.Initiated
    psp_transaction_id: str | None = None
    psp_session_id: str | None = None
    facts: dict[str, Fact] = Field(default_factory=dict)
    failure: Failure | None = None
    evidence: Evidence | None = None
    attention: str | None = None
    answered: bool = False
    version: int = 0
    last_updated: datetime

    @property
    def ended(self) -> bool:
        """True once the status itself is final."""
        return self.status in ENDED

    @property
    def settled(self) -> bool:
        """True when nothing can change any more."""
        return self.ended

    @property
    def undecided(self) -> bool:
        """True while the PSP's answer is still open."""
        return self.status in (Status.Initiated, Status.Pending)

    def total(self, kind: FactKind) -> Decimal:
        """Sum of the facts of one kind, in major units."""
        return sum((f.amount for f in self.facts.values() if f.kind is kind), ZERO)

    def facts_of(self, kind: FactKind) -> list[Fact]:
        """The facts of one kind, oldest booking first."""
        found = [f for f in self.facts.values() if f.kind is kind]
        return sorted(found, key=lambda f: (f.booked_on or date.max, f.id))

    def apply(self, outcome: Outcome, evidence: Evidence) -> Change:
        """Fold one report of the PSP into the state.

        A report that the table of transitions forbids leaves the state as it is and asks for
        attention: two proofs that contradict each other are for a person to judge.
        """
        before = self.model_copy(deep=True)
        self.answered = True
        target = self._target(outcome)
        allowed = TRANSITIONS[self.kind].get(self.status, frozenset())
        if target is not self.status and target not in allowed:
            return self._contradiction(outcome, target, before, evidence.at)
        if isinstance(outcome, Declined) and target is Status.Succeeded is self.status:
            return self._contradiction(outcome, outcome.status, before, evidence.at)
        self._merge(outcome)
        if target is not self.status and target in TERMINAL:
            self.evidence = evidence
            if isinstance(outcome, Declined) and target is not Status.Succeeded:
                self._fail(outcome, evidence.at)
        self.status = target
        return self._close(before, evidence.at)

    def knows(self, outcome: Outcome) -> bool:
        """True when folding `outcome` would tell nothing new."""
        at = self.last_updated
        trial = self.model_copy(deep=True)
        probe = Evidence(kind=EvidenceKind.READ, source="probe", at=at)
        return self.answered and trial.apply(outcome, probe) is Change.NONE

    def hand_over(self, now: datetime) -> Change:
        """The request is with the PSP and the caller is told so."""
        if self.status is not Status.Initiated or self.psp_session_id:
            return Change.NONE
        before = self.model_copy(deep=True)
        self.status = Status.Pending
        return self._close(before, now)

    def note(self, attention: str) -> Change:
        """Ask a person to look, once per text."""
        if self.attention == attention:
            return Change.NONE
        self.attention = attention
        self.version += 1
        return Change.INTERNAL

    def _target(self, outcome: Outcome) -> Status:
        raise NotImplementedError

    def _merge(self, outcome: Outcome) -> None:
        """Keep what the report says, whatever becomes of the status."""
        if not isinstance(outcome, RedirectRequired):
            self.facts |= {fact.id: fact for fact in outcome.facts}
            self.psp_transaction_id = outcome.psp_id or self.psp_transaction_id

    def _fail(self, outcome: Declined, now: datetime) -> None:
        self.failure = Failure(
            code=outcome.code,
            psp_code=outcome.psp_code,
            message=outcome.message,
            received_at=now,
        )

    def _target_by_sum(self, outcome: Outcome, kind: FactKind) -> Status:
        """Succeeded once the facts of `kind` cover the requested amount."""
        if isinstance(outcome, RedirectRequired):
            return self.status
        known = self.facts | {f.id: f for f in outcome.facts}
        total = sum((f.amount for f in known.values() if f.kind is kind), ZERO)
        if total >= self.requested_amount:
            return Status.Succeeded
        return outcome.status if isinstance(outcome, Declined) else Status.Pending

    def _contradiction(
        self, outcome: Outcome, target: Status, before: "TransactionState", now: datetime
    ) -> Change:
        """Two proofs against each other are for a person; an overtaken report is none.

        A report that was overtaken by a newer one holds no fact that is not known already.
        """
        facts = () if isinstance(outcome, RedirectRequired) else outcome.facts
        if not isinstance(outcome, Declined) and all(fact.id in self.facts for fact in facts):
            return self._close(before, now)
        return self.note(
            f"The PSP reports {target.name} for a transaction that is {self.status.name}."
        )

    def _close(self, before: "TransactionState", now: datetime) -> Change:
        """Compare with the state before and count the change.

        An identical confirmation raises `last_updated` nowhere: it would make every reader
        fetch an unchanged state.
        """
        if self == before:
            return Change.NONE
        self.version = before.version + 1
        if self._view() == before._view():
            return Change.INTERNAL
        self.last_updated = max(now.astimezone(UTC), before.last_updated + TICK)
        return Change.VISIBLE

    def _view(self) -> dict[str, object]:
        """What Billwerk+ can see of it; a change elsewhere is only ours."""
        return self.model_dump(exclude=BOOKKEEPING)


class PreauthState(TransactionState):
    """A reservation, a stored payment method or a mandate; its currency amounts are major units."""

    kind: Literal[Kind.PREAUTH] = Kind.PREAUTH
    session_expires_at: datetime | None = None
    captured_by: str | None = None
    captured: bool = False
    cancelling: bool = False

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
    def settled(self) -> bool:
        nothing_reserved = self.status is Status.Succeeded and not self.facts
        return self.ended or self.captured or nothing_reserved

    def apply(self, outcome: Outcome, evidence: Evidence) -> Change:
        """As for all kinds; what is left of a captured reservation may lapse unnoticed."""
        if self.captured and isinstance(outcome, Declined):
            return Change.NONE
        return super().apply(outcome, evidence)

    def refuse_capture(self, amount: Decimal, currency: str, by: str) -> Refusal | None:
        """Why the payment `by` may not capture, or None."""
        if self.captured_by == by:
            return None
        if self.status is not Status.Succeeded:
            return _precondition(f"The preauth is {self.status.name}, not Succeeded.")
        if self.captured_by is not None:
            return _precondition("The preauth is captured already.")
        if self.cancelling:
            return _precondition("The preauth is being cancelled.")
        if self.authorization_id is None:
            return _precondition("The preauth has no reservation to capture.")
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
        if refusal is None and self.captured_by is None:
            self.captured_by = by
            self.version += 1
        return refusal

    def settle(self, by: str, booked: bool) -> None:
        """The capture `by` succeeded, or failed and gives the reservation back."""
        if self.captured_by != by or self.captured:
            return
        self.captured = booked
        if not booked:
            self.captured_by = None
        self.version += 1

    def refuse_cancel(self) -> Refusal | None:
        """Why the preauth cannot be cancelled, or None."""
        if self.status in (Status.Failed, Status.Expired):
            return _precondition(f"The preauth is {self.status.name}.")
        if self.captured_by is not None:
            return _precondition("The preauth is captured.")
        if self.undecided and self.void_target is None:
            return _precondition("The PSP has not answered the preauth yet.")
        return None

    def mark_cancelling(self, cancelling: bool) -> None:
        """While True, captures are refused."""
        self.cancelling = cancelling
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

    def _merge(self, outcome: Outcome) -> None:
        super()._merge(outcome)
        if isinstance(outcome, RedirectRequired):
            self.psp_session_id = outcome.psp_id
            self.session_expires_at = outcome.expires_at


class BookedRefund(BaseModel):
    """A refund that reached its payment; keyed by the refund's transaction id."""

    model_config = ConfigDict(frozen=True)

    amount: Decimal
    psp_id: str | None
    booked_on: date | None


class PaymentState(TransactionState):
    """Money taken: movements, chargebacks, refunds and what refunds have reserved."""

    kind: Literal[Kind.PAYMENT] = Kind.PAYMENT
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
        if by in self.reservations or by in self.refunds:
            return None
        if self.status is not Status.Succeeded:
            return _precondition(f"The payment is {self.status.name}, not Succeeded.")
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
        if refusal is None and by not in self.reservations and by not in self.refunds:
            self.reservations[by] = amount
            self.version += 1
        return refusal

    def settle(self, by: str, booked: BookedRefund | None, now: datetime) -> Change:
        """The refund `by` was done, once and for all, or gives its reservation back."""
        before = self.model_copy(deep=True)
        self.reservations.pop(by, None)
        if booked is not None:
            self.refunds.setdefault(by, booked)
        return self._close(before, now)

    def _target(self, outcome: Outcome) -> Status:
        return self._target_by_sum(outcome, FactKind.PAID)


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


AnyState = PreauthState | PaymentState | RefundState


def _precondition(message: str) -> Refusal:
    return Refusal(code=PaymentErrorCode.InvalidPreconditions, message=message)
