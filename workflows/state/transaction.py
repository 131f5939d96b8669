"""The state of any transaction: what the PSP vouches for, and what a person decides."""

from typing import ClassVar, assert_never

from integrator.contract.enums import PaymentErrorCode
from integrator.psp.types import Approved, Declined, Fact, FactKind, Outcome
from workflows.state.evidence import Evidence, EvidenceKind
from workflows.state.fold import FoldedState
from workflows.state.operator_decision import Decision, DecisionKind
from workflows.state.status import ZERO, Change, Refusal, precondition


class TransactionState(FoldedState):
    """What all kinds can do; `movement` is what a success of the kind consists of."""

    movement: ClassVar[FactKind]

    def has_decided(self, decision: Decision) -> bool:
        """Whether the same was decided before, so that this is its repetition."""
        if decision.kind is DecisionKind.ACKNOWLEDGE and self.attention:
            return False
        return any(decision.repeats(earlier) for earlier in self.decisions)

    def refuse_decision(self, decision: Decision) -> Refusal | None:
        """Why this may not be decided, or None."""
        if self.has_decided(decision):
            return None
        if decision.kind is DecisionKind.ACKNOWLEDGE:
            return None if self.attention else precondition("Nothing asks for attention.")
        if not self.undecided:
            return precondition(f"The {self.kind.value} is {self.status.name} already.")
        return self._refuse_success(decision) if decision.kind is DecisionKind.SUCCEEDED else None

    def decided_outcome(self, decision: Decision) -> Outcome | None:
        """What a decision says in the PSP's place; None for an acknowledgement."""
        match decision.kind:
            case DecisionKind.ACKNOWLEDGE:
                return None
            case DecisionKind.FAILED:
                # The reason is for operators; this text goes to Billwerk+.
                message = "The PSP's outcome stayed unknown; an operator found that it failed."
                return Declined(code=PaymentErrorCode.Rejected, message=message)
            case DecisionKind.SUCCEEDED:
                return Approved(psp_id=decision.psp_id, facts=self._decided_facts(decision))
            case _:
                assert_never(decision.kind)

    def decide(self, decision: Decision) -> Change:
        """Carry out a decision that is not refused, and keep it; its repetition does nothing."""
        if self.has_decided(decision):
            return Change.NONE
        outcome = self.decided_outcome(decision)
        kept = decision
        if outcome is None:
            kept = decision.model_copy(update={"acknowledged": tuple(self.attention_lines)})
            self.attention = None
        self.decisions.append(kept)
        if outcome is None:
            self.version += 1
            return Change.INTERNAL
        source = f"decision {len(self.decisions)}"
        return self.apply(
            outcome, Evidence(kind=EvidenceKind.DECISION, source=source, at=decision.at)
        )

    def decision_behind(self, evidence: Evidence) -> Decision | None:
        """The decision that an evidence names."""
        if evidence.kind is not EvidenceKind.DECISION:
            return None
        number = int(evidence.source.removeprefix("decision "))
        return self.decisions[number - 1]

    def _refuse_success(self, decision: Decision) -> Refusal | None:
        if not decision.psp_id or decision.amount is None:
            return precondition("A success needs the PSP's transaction id and the amount.")
        facts = {fact.id: fact for fact in self._decided_facts(decision)}
        known = self.facts | facts
        kinds = {fact.kind for fact in facts.values()}
        total = sum((fact.amount for fact in known.values() if fact.kind in kinds), ZERO)
        if total != self.requested_amount:
            return Refusal(
                code=PaymentErrorCode.InvalidAmount,
                message=f"That makes {total} {self.currency} of the requested "
                f"{self.requested_amount} {self.currency}.",
            )
        return None

    def _decided_facts(self, decision: Decision) -> tuple[Fact, ...]:
        """The movement that a success stands for."""
        if decision.psp_id is None or decision.amount is None:
            return ()
        return (
            Fact(
                kind=self.movement,
                id=decision.psp_id,
                amount=decision.amount,
                booked_on=decision.at.date(),
            ),
        )
