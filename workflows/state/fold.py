"""Base of all transaction states: facts and how reports are folded into them."""

from collections.abc import Iterable
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
    contradiction_text,
)

INTERNAL_FIELDS = {
    *("version", "last_updated", "evidence", "attention", "answered", "approved"),
    *("fact_sources", "decisions"),
    *(
        "session_expires_at",
        "captured_by",
        "captured",
        "cancelling",
        "voids",
        "void_accepted_at",
        "expiring",
        "reservations",
        "adopted",
        "attempts",
        "send_at",
    ),
}
"""Fields of a state that the API does not return."""


class FoldedState(BaseModel):
    """Common state; `version` counts changes, `last_updated` is the time of the last visible one.

    `fact_sources` maps a fact's id to the evidence that first reported it; facts from before it was
    stored have none. For an external refund or capture the id is its `ExternalMovement.key`.
    `successors` maps ids of stored payment methods to those under which the PSP continues them.
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
    successors: dict[str, str] = Field(default_factory=dict)
    answered: bool = False
    approved: bool = False
    version: int = 0
    last_updated: datetime

    @property
    def ended(self) -> bool:
        """Return whether the status is Failed, Cancelled or Expired."""
        return self.status in ENDED

    @property
    def is_final(self) -> bool:
        """Return whether nothing can change any more."""
        return self.ended

    @property
    def undecided(self) -> bool:
        """Return whether the PSP has not decided yet."""
        return self.status in (Status.Initiated, Status.Pending)

    @property
    def waiting_until(self) -> datetime | None:
        """Return until when the operation waits for its day, without an outcome; None if not."""
        return None

    def total(self, kind: FactKind) -> Decimal:
        """Return the sum of the facts of one kind, in major units."""
        return sum((f.amount for f in self.facts.values() if f.kind is kind), ZERO)

    def facts_of(self, kind: FactKind) -> list[Fact]:
        """Return the facts of one kind, oldest booking first."""
        facts = [f for f in self.facts.values() if f.kind is kind]
        return sorted(facts, key=lambda f: (f.booked_on or date.max, f.id))

    def apply(self, outcome: Outcome, evidence: Evidence) -> Change:
        """Fold one report of the PSP into the state.

        A report that the table of transitions forbids leaves the status as it is and flags
        attention: contradicting evidence is for an operator to judge.
        """
        before = self.model_copy(deep=True)
        self.answered = True
        self._add_succession(outcome)
        target = self._target_status(outcome)
        allowed = TRANSITIONS[self.kind].get(self.status, frozenset())
        if target is not self.status and target not in allowed:
            return self._handle_forbidden_transition(outcome, target, before, evidence)
        if isinstance(outcome, Declined) and target is Status.Succeeded is self.status:
            # A late failure may carry its chargeback: money that moved is never ignored.
            self._add_facts(outcome.facts, evidence)
            self._add_attention(contradiction_text(outcome.status, self.status))
            return self._finish_change(before, evidence.at)
        self._merge(outcome, evidence)
        self.approved = self.approved or isinstance(outcome, Approved)
        if target is not self.status and target in TERMINAL:
            self.evidence = evidence
            if isinstance(outcome, Declined) and target is not Status.Succeeded:
                self._set_failure(outcome, self._next_update_time(evidence.at))
        self.status = target
        return self._finish_change(before, evidence.at)

    def _add_succession(self, outcome: Outcome) -> None:
        """Store what a payment method continues as also of an ended transaction.

        Billwerk+ sees it in the payment data, so it is a visible change.
        """
        if not isinstance(outcome, RedirectRequired) and outcome.succession is not None:
            self.successors[outcome.succession.former_id] = outcome.succession.new_id

    def already_includes(self, outcome: Outcome) -> bool:
        """Return whether folding `outcome` would change nothing."""
        at = self.last_updated
        trial = self.model_copy(deep=True)
        probe = Evidence(kind=EvidenceKind.READ, source="probe", at=at)
        return self.answered and trial.apply(outcome, probe) is Change.NONE

    def mark_pending(self, now: datetime) -> Change:
        """Set Pending because the caller was answered so; a session stays Initiated."""
        if self.status is not Status.Initiated or self.psp_session_id:
            return Change.NONE
        before = self.model_copy(deep=True)
        self.status = Status.Pending
        return self._finish_change(before, now)

    def flag_attention(self, attention: str, *, again: bool = False) -> Change:
        """Add a line for operators, once per text.

        A text that was acknowledged is added only if it has happened `again`.
        """
        if not self._add_attention(attention, again=again):
            return Change.NONE
        self.version += 1
        return Change.INTERNAL

    @property
    def attention_lines(self) -> list[str]:
        """Return the lines of `attention`."""
        return self.attention.splitlines() if self.attention else []

    def _add_attention(self, attention: str, *, again: bool = False) -> bool:
        acknowledged = {line for decision in self.decisions for line in decision.acknowledged}
        if attention in self.attention_lines or (attention in acknowledged and not again):
            return False
        self.attention = "\n".join([*self.attention_lines, attention])
        return True

    def _target_status(self, outcome: Outcome) -> Status:
        raise NotImplementedError

    def _merge(self, outcome: Outcome, evidence: Evidence) -> None:
        """Store what the report says, independent of the status."""
        if not isinstance(outcome, RedirectRequired):
            self._add_facts(outcome.facts, evidence)
            self.psp_transaction_id = outcome.psp_id or self.psp_transaction_id

    def _add_facts(self, facts: tuple[Fact, ...], evidence: Evidence) -> None:
        """Store facts and the evidence that first reported each."""
        kinds = {fact.kind for fact in facts}
        before = {kind: self.total(kind) for kind in kinds}
        decided = (
            self._facts_by_decision(kinds) if evidence.kind is not EvidenceKind.DECISION else []
        )
        for fact in decided:
            # It stood for what the PSP had not reported yet, perhaps under another PSP id.
            del self.facts[fact.id], self.fact_sources[fact.id]
        for fact in facts:
            known = self.facts.get(fact.id)
            if known is None:
                self.fact_sources[fact.id] = evidence
            # Billwerk+ has booked the movement on the day that was reported first.
            day = known.booked_on if known else None
            self.facts[fact.id] = fact.model_copy(update={"booked_on": day}) if day else fact
        for id in superseded_ids(self.facts.values()) & self.facts.keys():
            del self.facts[id]
            self.fact_sources.pop(id, None)
        for kind in {fact.kind for fact in decided}:
            if self.total(kind) != before[kind]:
                self._add_attention(
                    f"The PSP reports {self.total(kind)} {self.currency} as {kind.value}; "
                    f"{before[kind]} had been decided."
                )

    def _facts_by_decision(self, kinds: set[FactKind]) -> list[Fact]:
        """Return the facts of these kinds that come from a decision alone."""
        sources = self.fact_sources
        return [
            fact
            for fact in self.facts.values()
            if fact.kind in kinds
            and fact.id in sources
            and sources[fact.id].kind is EvidenceKind.DECISION
        ]

    def _set_failure(self, outcome: Declined, now: datetime) -> None:
        self.failure = Failure(
            code=outcome.code,
            psp_code=outcome.psp_code,
            message=outcome.message,
            received_at=now,
        )

    def _target_status_by_sum(self, outcome: Outcome, kind: FactKind) -> Status:
        """Return Succeeded once the facts of `kind` cover the requested amount."""
        if isinstance(outcome, RedirectRequired):
            return self.status
        known = self.facts | {f.id: f for f in outcome.facts}
        superseded = superseded_ids(known.values())
        counted = (f for f in known.values() if f.kind is kind and f.id not in superseded)
        total = sum((f.amount for f in counted), ZERO)
        if total >= self.requested_amount:
            return Status.Succeeded
        return outcome.status if isinstance(outcome, Declined) else Status.Pending

    def _handle_forbidden_transition(
        self, outcome: Outcome, target: Status, before: "FoldedState", evidence: Evidence
    ) -> Change:
        """Flag a contradiction, unless the report is only superseded.

        A report that a newer one has superseded holds no fact that is not stored already.
        """
        facts = () if isinstance(outcome, RedirectRequired) else outcome.facts
        newly_approved = isinstance(outcome, Approved) and not self.approved
        if (
            isinstance(outcome, Declined)
            or newly_approved
            or not all(map(self._includes_fact, facts))
        ):
            self._add_attention(contradiction_text(target, self.status))
        self._add_late_facts(facts, evidence)
        return self._finish_change(before, evidence.at)

    def _add_late_facts(self, facts: tuple[Fact, ...], evidence: Evidence) -> None:
        """Store the facts of a report that cannot change the status any more; here none."""

    def _includes_fact(self, fact: Fact) -> bool:
        """Return whether the movement is stored with this amount; other fields do not matter."""
        if fact.id in superseded_ids(self.facts.values()):
            return True
        known = self.facts.get(fact.id)
        return known is not None and known.amount == fact.amount

    def _finish_change(self, before: "FoldedState", now: datetime) -> Change:
        """Compare with the state before and count the change.

        An identical confirmation does not raise `last_updated`: every reader would fetch an
        unchanged state.
        """
        if self == before:
            return Change.NONE
        self.version = before.version + 1
        if self._visible_fields() == before._visible_fields():
            return Change.INTERNAL
        self.last_updated = before._next_update_time(now)
        return Change.VISIBLE

    def _next_update_time(self, now: datetime) -> datetime:
        """Return the time of a change: later than all before, since readers compare it."""
        return max(now.astimezone(UTC), self.last_updated + TICK)

    def _visible_fields(self) -> dict[str, object]:
        """Return the fields that Billwerk+ can see; other changes are internal."""
        return self.model_dump(exclude=INTERNAL_FIELDS)


def superseded_ids(facts: Iterable[Fact]) -> set[str]:
    """Return the ids under which earlier versions of the adapter reported these facts."""
    return {id for fact in facts for id in fact.supersedes}
