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
                if self.waiting_until is not None and decision.at < self.waiting_until:
                    message = "An operator ended the debit while it waited for its day."
                    return Declined(code=PaymentErrorCode.Canceled, message=message)
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
        for name, value in stored.model_copy(deep=True):
            setattr(self, name, value)
        for line in own.attention_lines:
            self._add_attention(line)
        missing = [decision for decision in own.decisions if not self._number_of(decision)]
        self.decisions += missing
        self.successors = own.successors | self.successors
        self._add_own_holds(own)
        self._add_own_report(own, now)
        self.answered = self.answered or own.answered
        self.approved = self.approved or own.approved
        self.version = before.version
        change = self._finish_change(before, now)
        if change is not Change.NONE:
            self.version = max(own.version, before.version) + 1
        return change is Change.VISIBLE

    def _number_of(self, decision: Decision) -> int | None:
        """Return the number of this decision, which another run may have applied later."""
        for number, known in enumerate(self.decisions, 1):
            if known.repeats(decision) and known.acknowledged == decision.acknowledged:
                return number
        return None

    def _add_own_report(self, own: Self, now: datetime) -> None:
        """Fold what `own` says beyond this state, with the evidence that it had for it."""
        report = own._report_beyond(self)
        if report is None:
            return
        decides = self.undecided or isinstance(report, Declined)
        evidence = Evidence(kind=EvidenceKind.READ, source="another run", at=now)
        if own.evidence is not None and decides:
            evidence = self._renumber(own.evidence, own)
        known = set(self.facts)
        self.apply(report, evidence)
        for id in self.facts.keys() - known:
            source = own.fact_sources.get(id)
            if source is not None:
                self.fact_sources[id] = self._renumber(source, own)

    def _renumber(self, evidence: Evidence, own: Self) -> Evidence:
        """Return evidence of `own`; a decision has another number here."""
        decision = own.find_decision(evidence)
        if decision is None:
            return evidence
        return evidence.model_copy(update={"source": f"decision {self._number_of(decision)}"})

    def _report_beyond(self, stored: Self) -> Outcome | None:
        """Return what this state says beyond the stored one, as a report; None if nothing."""
        decided = self._facts_by_decision({f.kind for f in stored.facts.values()})
        facts = tuple(
            fact
            for id, fact in self.facts.items()
            # What was decided may be stored under the PSP's own id.
            if id not in stored.facts and fact not in decided
        )
        psp_id = self.psp_transaction_id
        if self.failure is not None and self.ended and self._may_end(stored):
            return Declined(
                psp_id=psp_id,
                code=self.failure.code,
                psp_code=self.failure.psp_code,
                message=self.failure.message,
                status=self.status,
                facts=facts,
            )
        succeeded = self.status is Status.Succeeded and stored.undecided
        if succeeded or (facts and self.approved):
            return Approved(psp_id=psp_id, facts=facts)
        if facts or (stored.undecided and psp_id not in (None, stored.psp_transaction_id)):
            return Pending(psp_id=psp_id, facts=facts)
        return None

    def _may_end(self, stored: Self) -> bool:
        """Return whether this state's end counts: the stored outcome refutes "not sent"."""
        unsent = self.evidence is not None and self.evidence.kind is EvidenceKind.NOT_SENT
        failed_unsent = unsent and self.status is Status.Failed
        return not stored.ended and not (failed_unsent and stored.answered)

    def _add_own_holds(self, own: Self) -> None:
        """Add the holds of `own` that are newer than those here, and end those it has ended."""

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
