"""What all kinds of transaction share: the facts and their fold."""

from datetime import UTC, date, datetime
from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field

from integrator.contract.enums import PublicPaymentProviderRole
from integrator.psp.types import Approved, Declined, Fact, FactKind, Outcome, RedirectRequired
from workflows.state.evidence import Evidence, EvidenceKind
from workflows.state.operator_decision import Decision
from workflows.state.status import (
    ENDED,
    TERMINAL,
    TICK,
    TRANSITIONS,
    ZERO,
    Change,
    Failure,
    Status,
    TransactionKind,
    contradiction,
)

BOOKKEEPING = {
    *("version", "last_updated", "evidence", "attention", "answered", "approved"),
    *("fact_sources", "decisions"),
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


class FoldedState(BaseModel):
    """What all kinds share; `version` counts changes, `last_updated` dates the visible ones.

    `fact_sources` says by what each fact first became known, by the fact's id; facts from before it was
    kept have none. An adopted refund or capture stands there under its `Adoption.by`.
    """

    # An alias is the field's name in stored histories and snapshots.
    model_config = ConfigDict(
        validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )

    kind: TransactionKind
    transaction_id: str
    external_id: str
    role: PublicPaymentProviderRole
    currency: str
    requested_amount: Decimal
    status: Status = Status.Initiated
    psp_transaction_id: str | None = None
    psp_session_id: str | None = None
    facts: dict[str, Fact] = Field(default_factory=dict)
    fact_sources: dict[str, Evidence] = Field(default_factory=dict, alias="told_by")
    failure: Failure | None = None
    evidence: Evidence | None = None
    attention: str | None = None
    decisions: list[Decision] = Field(default_factory=list)
    answered: bool = False
    approved: bool = False
    version: int = 0
    last_updated: datetime

    @property
    def ended(self) -> bool:
        """True once the status itself is final."""
        return self.status in ENDED

    @property
    def is_final(self) -> bool:
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
            return self._contradiction(outcome, target, before, evidence)
        if isinstance(outcome, Declined) and target is Status.Succeeded is self.status:
            # A late failure may bring its chargeback along: money that went is never ignored.
            self._take(outcome.facts, evidence)
            self._attend(contradiction(outcome.status, self.status))
            return self._close(before, evidence.at)
        self._merge(outcome, evidence)
        self.approved = self.approved or isinstance(outcome, Approved)
        if target is not self.status and target in TERMINAL:
            self.evidence = evidence
            if isinstance(outcome, Declined) and target is not Status.Succeeded:
                self._fail(outcome, self._moment(evidence.at))
        self.status = target
        return self._close(before, evidence.at)

    def already_includes(self, outcome: Outcome) -> bool:
        """True when folding `outcome` would tell nothing new."""
        at = self.last_updated
        trial = self.model_copy(deep=True)
        probe = Evidence(kind=EvidenceKind.READ, source="probe", at=at)
        return self.answered and trial.apply(outcome, probe) is Change.NONE

    def mark_pending(self, now: datetime) -> Change:
        """The request is with the PSP and the caller is told so."""
        if self.status is not Status.Initiated or self.psp_session_id:
            return Change.NONE
        before = self.model_copy(deep=True)
        self.status = Status.Pending
        return self._close(before, now)

    def flag_attention(self, attention: str, *, again: bool = False) -> Change:
        """Ask a person to look; each text stands on a line of its own, once.

        What was acknowledged stays so, unless it has happened `again`.
        """
        if not self._attend(attention, again=again):
            return Change.NONE
        self.version += 1
        return Change.INTERNAL

    @property
    def attention_lines(self) -> list[str]:
        """What asks for attention, line by line."""
        return self.attention.splitlines() if self.attention else []

    def _attend(self, attention: str, *, again: bool = False) -> bool:
        acknowledged = {line for decision in self.decisions for line in decision.acknowledged}
        if attention in self.attention_lines or (attention in acknowledged and not again):
            return False
        self.attention = "\n".join([*self.attention_lines, attention])
        return True

    def _target(self, outcome: Outcome) -> Status:
        raise NotImplementedError

    def _merge(self, outcome: Outcome, evidence: Evidence) -> None:
        """Keep what the report says, whatever becomes of the status."""
        if not isinstance(outcome, RedirectRequired):
            self._take(outcome.facts, evidence)
            self.psp_transaction_id = outcome.psp_id or self.psp_transaction_id

    def _take(self, facts: tuple[Fact, ...], evidence: Evidence) -> None:
        """Keep facts, and by what each first became known."""
        kinds = {fact.kind for fact in facts}
        before = {kind: self.total(kind) for kind in kinds}
        decided = self._decided(kinds) if evidence.kind is not EvidenceKind.DECISION else []
        for fact in decided:
            # It stood for what the PSP had not told yet, perhaps under another of its ids.
            del self.facts[fact.id], self.fact_sources[fact.id]
        for fact in facts:
            if fact.id not in self.facts:
                self.fact_sources[fact.id] = evidence
            self.facts[fact.id] = fact
        for kind in {fact.kind for fact in decided}:
            if self.total(kind) != before[kind]:
                self._attend(
                    f"The PSP reports {self.total(kind)} {self.currency} as {kind.value}; "
                    f"{before[kind]} had been decided."
                )

    def _decided(self, kinds: set[FactKind]) -> list[Fact]:
        """The facts of these kinds that nobody but a person has told."""
        told = self.fact_sources
        return [
            fact
            for fact in self.facts.values()
            if fact.kind in kinds
            and fact.id in told
            and told[fact.id].kind is EvidenceKind.DECISION
        ]

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
        self, outcome: Outcome, target: Status, before: "FoldedState", evidence: Evidence
    ) -> Change:
        """Two proofs against each other are for a person; an overtaken report is none.

        A report that was overtaken by a newer one holds no fact that is not known already.
        """
        facts = () if isinstance(outcome, RedirectRequired) else outcome.facts
        news = isinstance(outcome, Approved) and not self.approved
        if isinstance(outcome, Declined) or news or not all(map(self._holds, facts)):
            self._attend(contradiction(target, self.status))
        self._keep(facts, evidence)
        return self._close(before, evidence.at)

    def _keep(self, facts: tuple[Fact, ...], evidence: Evidence) -> None:
        """What becomes of the facts of a report that cannot change the status any more."""

    def _holds(self, fact: Fact) -> bool:
        """Whether this movement is known with this amount; its other members are only words."""
        known = self.facts.get(fact.id)
        return known is not None and known.amount == fact.amount

    def _close(self, before: "FoldedState", now: datetime) -> Change:
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
