"""State of any transaction: what the PSP reports and what operators decide."""

from datetime import datetime
from typing import ClassVar, Self, assert_never

from integrator.contract.enums import PaymentErrorCode
from integrator.psp.types import Approved, Declined, Fact, FactKind, Outcome, Pending
from workflows.state.evidence import Evidence, EvidenceKind
from workflows.state.fold import FoldedState
from workflows.state.operator_decision import Decision, DecisionKind
from workflows.state.status import ZERO, Change, Refusal, Status, precondition_refusal


class TransactionState(FoldedState):
    """Common operations; `movement_kind` is the kind of fact that a success consists of."""

    movement_kind: ClassVar[FactKind]

    def has_decision(self, decision: Decision) -> bool:
        """Return whether the decision was applied before, so that this is a repetition."""
        if decision.kind is DecisionKind.ACKNOWLEDGE and self.attention:
            return False
        return any(decision.repeats(earlier) for earlier in self.decisions)

    def check_decision(self, decision: Decision) -> Refusal | None:
        """Return why the decision is refused, or None."""
        if self.has_decision(decision):
            return None
        if decision.kind is DecisionKind.ACKNOWLEDGE:
            return None if self.attention else precondition_refusal("Nothing asks for attention.")
        if not self.undecided:
            return precondition_refusal(f"The {self.kind.value} is {self.status.name} already.")
        return self._check_success(decision) if decision.kind is DecisionKind.SUCCEEDED else None

    def decided_outcome(self, decision: Decision) -> Outcome | None:
        """Return the outcome that a decision stands for; None for an acknowledgement."""
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

    def apply_decision(self, decision: Decision) -> Change:
        """Apply and store a decision that is not refused; a repetition does nothing."""
        if self.has_decision(decision):
            return Change.NONE
        outcome = self.decided_outcome(decision)
        stored = decision
        if outcome is None:
            stored = decision.model_copy(update={"acknowledged": tuple(self.attention_lines)})
            self.attention = None
        self.decisions.append(stored)
        if outcome is None:
            self.version += 1
            return Change.INTERNAL
        source = f"decision {len(self.decisions)}"
        return self.apply(
            outcome, Evidence(kind=EvidenceKind.DECISION, source=source, at=decision.at)
        )

    def find_decision(self, evidence: Evidence) -> Decision | None:
        """Return the decision that the evidence refers to."""
        if evidence.kind is not EvidenceKind.DECISION:
            return None
        number = int(evidence.source.removeprefix("decision "))
        return self.decisions[number - 1]

    def merge_stored(self, stored: Self, now: datetime) -> bool:
        """Take over the stored state and add what only this one knows.

        The version is the stored one if nothing is added, else higher than both. Returns whether
        the result differs visibly from the stored state.
        """
        own, before = self.model_copy(deep=True), stored.model_copy(deep=True)
        for name in type(self).model_fields:
            setattr(self, name, getattr(stored, name))
        report = own._report_beyond(before)
        if report is not None:
            evidence = Evidence(kind=EvidenceKind.READ, source="another run", at=now)
            self.apply(report, own.evidence or evidence)
        self._add_own_holds(own)
        for line in own.attention_lines:
            self._add_attention(line)
        self.decisions += [
            decision for decision in own.decisions if not self.has_decision(decision)
        ]
        self.answered = self.answered or own.answered
        self.version = before.version
        if self == before:
            return False
        self.version = max(own.version, before.version) + 1
        return self._visible_fields() != before._visible_fields()

    def _report_beyond(self, stored: Self) -> Outcome | None:
        """Return what this state says beyond the stored one, as a report; None if nothing."""
        facts = tuple(fact for id, fact in self.facts.items() if id not in stored.facts)
        psp_id = self.psp_transaction_id
        if self.failure is not None and self.ended and not stored.ended:
            return Declined(
                psp_id=psp_id,
                code=self.failure.code,
                psp_code=self.failure.psp_code,
                message=self.failure.message,
                status=self.status,
                facts=facts,
            )
        if self.status is Status.Succeeded and (facts or stored.undecided):
            return Approved(psp_id=psp_id, facts=facts)
        if facts or (stored.undecided and psp_id != stored.psp_transaction_id):
            return Pending(psp_id=psp_id, facts=facts)
        return None

    def _add_own_holds(self, own: Self) -> None:
        """Add the holds of this run, of attempts that are newer than those in the store."""

    def _check_success(self, decision: Decision) -> Refusal | None:
        if not decision.psp_id or decision.amount is None:
            return precondition_refusal("A success needs the PSP's transaction id and the amount.")
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
        """Return the movement that a decided success stands for."""
        if decision.psp_id is None or decision.amount is None:
            return ()
        return (
            Fact(
                kind=self.movement_kind,
                id=decision.psp_id,
                amount=decision.amount,
                booked_on=decision.at.date(),
            ),
        )
