"""Checks of the facts that an adapter reports, before they reach a transaction's workflow.

No adapter's mistake may book wrong money: a fact that is not this transaction's is left out, and an
operator is asked. Not part of the workflows, so that a new check changes no history. Pure.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from integrator.psp.types import (
    MAX_TEXT_LENGTH,
    Approved,
    Fact,
    FactKind,
    Outcome,
    RedirectRequired,
)
from workflows.state import AnyState, Evidence, EvidenceKind, PaymentState

SECONDARY = frozenset(
    {
        *(FactKind.REFUNDED, FactKind.RETURNED),
        *(FactKind.CHARGED_BACK, FactKind.CHARGEBACK_REVERSED),
    }
)
"""Kinds that take money from a payment or return it: they name the payment they belong to."""

_CHARGEBACKS = frozenset({FactKind.CHARGED_BACK, FactKind.CHARGEBACK_REVERSED})

_NAMES = {
    FactKind.AUTHORIZED: "reservation",
    FactKind.PAID: "payment",
    FactKind.REFUNDED: "refund",
    FactKind.RETURNED: "return of a refund",
    FactKind.CHARGED_BACK: "chargeback",
    FactKind.CHARGEBACK_REVERSED: "return of a chargeback",
}

REMEDY = (
    "Compare it with the PSP's dashboard, correct Billwerk+ if the money is this transaction's, "
    "then acknowledge this."
)


@dataclass(frozen=True)
class Owner:
    """Transaction that facts are reported for, as the store knows it.

    `references` are the references that its objects carry at the PSP. `parents` are the PSP's ids
    that a secondary fact may name; empty if none is known.
    """

    state: AnyState
    references: frozenset[str]
    parents: frozenset[str] = frozenset()


@dataclass(frozen=True)
class CheckedOutcome:
    """Outcome without the facts that are in doubt, and what to ask operators about these.

    `incomplete` are the doubts about facts that only another one explains, which may not be
    reported yet. `vanished` are those about facts that were booked before: only an answer that
    says everything the PSP knows can contradict these.
    """

    outcome: Outcome
    doubts: tuple[str, ...] = ()
    incomplete: tuple[str, ...] = ()
    vanished: tuple[str, ...] = ()


def check_facts(outcome: Outcome, owner: Owner) -> CheckedOutcome:
    """Leave out the facts that are not the owner's, and say why."""
    if isinstance(outcome, RedirectRequired) or not outcome.facts:
        return CheckedOutcome(outcome)
    owner = replace(owner, parents=owner.parents | _own_ids(outcome, owner.state))
    kept: dict[str, Fact] = {}
    doubts: list[str] = []
    for fact in outcome.facts:
        doubt = _doubt(fact, owner, kept)
        if doubt is not None:
            doubts.append(
                f"Not booked: the {_NAMES[fact.kind]} {fact.id} of {fact.amount} "
                f"{fact.currency or owner.state.currency} {doubt}. {REMEDY}"
            )
        elif fact.amount or fact.kind is FactKind.AUTHORIZED:
            # A movement of 0 moves nothing, and the contract has no item of 0.
            kept.setdefault(fact.id, fact)
    checked = outcome.model_copy(update={"facts": tuple(kept.values())})
    total = _fold(checked, owner.state)
    return CheckedOutcome(
        checked,
        tuple(map(_one_line, doubts)),
        tuple(map(_one_line, _sum_doubts(total))),
        tuple(
            map(_one_line, _vanished_doubts({fact.id for fact in outcome.facts}, checked, total))
        ),
    )


def find_vanished(outcome: Outcome, state: AnyState) -> tuple[str, ...]:
    """Return the doubts that an answer which says everything raises about what was booked."""
    if isinstance(outcome, RedirectRequired):
        return ()
    reported_ids = {fact.id for fact in outcome.facts}
    return tuple(map(_one_line, _vanished_doubts(reported_ids, outcome, _fold(outcome, state))))


def _one_line(text: str) -> str:
    """Return the text as one line of the attention: ids are the PSP's, and may be anything."""
    return " ".join(text.split())[:MAX_TEXT_LENGTH]


def _doubt(fact: Fact, owner: Owner, kept: dict[str, Fact]) -> str | None:
    """Return why the fact may not be booked, or None."""
    state = owner.state
    if fact.currency is not None and fact.currency.upper() != state.currency.upper():
        return f"is not in {state.currency}"
    if fact.amount < 0:
        return "has an amount that no movement has"
    known = kept.get(fact.id) or state.facts.get(fact.id)
    if known is not None and known.kind is not fact.kind:
        return f"has the id of the {_NAMES[known.kind]} that was booked before"
    if fact.id in kept and kept[fact.id].amount != fact.amount:
        return f"has the id of another one, of {kept[fact.id].amount}"
    if fact.kind not in SECONDARY:
        return None
    references = {reference.casefold() for reference in owner.references}
    if fact.reference is not None and fact.reference.casefold() not in references:
        return f"belongs to {fact.reference}"
    if fact.parent_psp_id is not None and owner.parents and fact.parent_psp_id not in owner.parents:
        return f"belongs to {fact.parent_psp_id} at the PSP"
    return None


def _own_ids(outcome: Outcome, state: AnyState) -> frozenset[str]:
    """Return the ids by which a secondary fact may name this payment itself."""
    if not isinstance(state, PaymentState) or isinstance(outcome, RedirectRequired):
        return frozenset()
    facts = (*state.facts.values(), *outcome.facts)
    ids = {fact.id for fact in facts if fact.kind is FactKind.PAID}
    return frozenset(ids | {id for id in (state.psp_transaction_id, outcome.psp_id) if id})


def _fold(outcome: Outcome, state: AnyState) -> AnyState:
    """Return the state that the workflow will have, as far as the store knows it."""
    total = state.model_copy(deep=True)
    total.apply(outcome, Evidence(kind=EvidenceKind.READ, source="check", at=state.last_updated))
    return total


def _sum_doubts(total: AnyState) -> Iterator[str]:
    """Yield what cannot be true of the sums, although each fact may be."""
    if not isinstance(total, PaymentState):
        return
    chargebacks = {fact.id: fact for fact in total.facts_of(FactKind.CHARGED_BACK)}
    for fact in total.facts_of(FactKind.CHARGEBACK_REVERSED):
        if fact.reverses not in chargebacks:
            yield (
                f"Not booked: the return {fact.id} of {fact.amount} {total.currency} names the "
                f"chargeback {fact.reverses}, which the PSP does not report. {REMEDY}"
            )
    for chargeback in chargebacks.values():
        returned = total.reported_reversals(chargeback)
        if returned > chargeback.amount:
            yield (
                f"Of the chargeback {chargeback.id} of {chargeback.amount} {total.currency} the "
                f"PSP reports {returned} as returned; {chargeback.amount} are booked. {REMEDY}"
            )
    if total.charged_back > total.paid > 0:
        yield (
            f"Chargebacks of {total.charged_back} {total.currency} exceed the {total.paid} "
            f"{total.currency} that were paid. {REMEDY}"
        )


def _vanished_doubts(reported_ids: set[str], checked: Outcome, total: AnyState) -> Iterator[str]:
    """Yield the difference to chargebacks and returns that were booked and are no longer reported.

    Facts are never removed: a dispute that the PSP decides again, or no longer lists, would stay
    booked although its money came back, or the reverse.
    """
    if not isinstance(total, PaymentState) or not isinstance(checked, Approved):
        return
    if all(fact.kind is not FactKind.PAID for fact in checked.facts):
        return
    missing = sorted(
        fact.id
        for fact in total.facts.values()
        if fact.kind in _CHARGEBACKS and fact.id not in reported_ids
    )
    facts = {id: fact for id, fact in total.facts.items() if id not in missing}
    rest = total.model_copy(update={"facts": facts})
    if rest.charged_back != total.charged_back:
        yield (
            f"The PSP no longer reports {', '.join(missing)}: {total.charged_back} "
            f"{total.currency} are booked as charged back, {rest.charged_back} without. {REMEDY}"
        )
