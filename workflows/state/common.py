"""What all states share: the facts, their fold, and what may follow what."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field

from contract.enums import PaymentErrorCode, PaymentTransactionStatus, PublicPaymentProviderRole
from psp.types import Approved, Declined, Fact, FactKind, Outcome, RedirectRequired

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
    *("version", "last_updated", "evidence", "attention", "answered", "approved"),
    *(
        "session_expires_at",
        "captured_by",
        "captured",
        "cancelling",
        "voids",
        "void_accepted_at",
        "reservations",
        "adopted",
        "attempts",
    ),
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
    approved: bool = False
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
            # A late failure may bring its chargeback along: money that went is never ignored.
            self.facts |= {fact.id: fact for fact in outcome.facts}
            self._attend(contradiction(outcome.status, self.status))
            return self._close(before, evidence.at)
        self._merge(outcome)
        self.approved = self.approved or isinstance(outcome, Approved)
        if target is not self.status and target in TERMINAL:
            self.evidence = evidence
            if isinstance(outcome, Declined) and target is not Status.Succeeded:
                self._fail(outcome, self._moment(evidence.at))
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
        """Ask a person to look; each text stands on a line of its own, once."""
        if not self._attend(attention):
            return Change.NONE
        self.version += 1
        return Change.INTERNAL

    def _attend(self, attention: str) -> bool:
        lines = self.attention.splitlines() if self.attention else []
        if attention in lines:
            return False
        self.attention = "\n".join([*lines, attention])
        return True

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
        news = isinstance(outcome, Approved) and not self.approved
        if isinstance(outcome, Declined) or news or not all(map(self._holds, facts)):
            self._attend(contradiction(target, self.status))
        self._keep(facts)
        return self._close(before, now)

    def _keep(self, facts: tuple[Fact, ...]) -> None:
        """What becomes of the facts of a report that cannot change the status any more."""

    def _holds(self, fact: Fact) -> bool:
        """Whether this movement is known with this amount; its other members are only words."""
        known = self.facts.get(fact.id)
        return known is not None and known.amount == fact.amount

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
        self.last_updated = before._moment(now)
        return Change.VISIBLE

    def _moment(self, now: datetime) -> datetime:
        """The time of a change: later than that of every change before, since readers compare."""
        return max(now.astimezone(UTC), self.last_updated + TICK)

    def _view(self) -> dict[str, object]:
        """What Billwerk+ can see of it; a change elsewhere is only ours."""
        return self.model_dump(exclude=BOOKKEEPING)


def contradiction(reported: Status, ours: Status) -> str:
    """What an operator reads when two proofs stand against each other."""
    return f"The PSP reports {reported.name} for a transaction that is {ours.name}."


def precondition(message: str) -> Refusal:
    """The state does not allow it."""
    return Refusal(code=PaymentErrorCode.InvalidPreconditions, message=message)
