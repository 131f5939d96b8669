"""What has happened to a transaction, and why its state is what it is."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import assert_never

from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.types import Fact, FactKind
from workflows.messages import Delivery
from workflows.state import (
    Decision,
    DecisionKind,
    PaymentState,
    PreauthState,
    TransactionState,
    adopted_by,
)
from workflows.timeline.formatting import amount, day, describe_evidence, moment, reason

US = "this service"
BILLWERK = "Billwerk+"
OPERATOR = "an operator"

_DONE = {
    FactKind.AUTHORIZED: "reserved",
    FactKind.PAID: "taken",
    FactKind.REFUNDED: "given back",
    FactKind.RETURNED: "came back, though it had been given back",
    FactKind.CHARGED_BACK: "charged back by the customer's bank",
}


@dataclass(frozen=True)
class TimelineEntry:
    """One thing that happened; `at` is when this service knew it, None where that was not kept."""

    at: datetime | None
    text: str
    said_by: str


def happened(
    state: TransactionState, delivery: Delivery | None, started_at: datetime | None
) -> tuple[TimelineEntry, ...]:
    """Everything, oldest first; what has no time stands first, in the order of booking."""
    lines = [
        *_facts(state),
        *_others(state),
        *_ending(state),
        *(_decided(decision, state.currency) for decision in state.decisions),
        *_announced(delivery),
    ]
    undated = [line for line in lines if line.at is None]
    dated = sorted((line for line in lines if line.at is not None), key=_when)
    return (_requested(state, started_at), *undated, *dated)


def status_reason(state: TransactionState) -> str:
    """One sentence: the status, and what it rests on."""
    return f"{state.status.name}, because {_because(state)}."


def _because(state: TransactionState) -> str:
    match state.status:
        case Status.Initiated:
            if state.psp_session_id is not None:
                return "the customer has not finished on the PSP's checkout page"
            return "the PSP has not answered yet"
        case Status.Pending:
            if state.psp_transaction_id is None and state.psp_session_id is None:
                return "it is not known yet what became of the request at the PSP"
            return "the PSP has it and has not decided"
        case Status.Succeeded | Status.Failed | Status.Cancelled | Status.Expired:
            if state.evidence is None:
                return "so it was recorded before proofs were kept"
            return describe_evidence(state, state.evidence)
        case _:
            assert_never(state.status)


def _when(line: TimelineEntry) -> float:
    return line.at.timestamp() if line.at is not None else 0.0


def _requested(state: TransactionState, started_at: datetime | None) -> TimelineEntry:
    text = f"{state.kind.value} of {amount(state.requested_amount, state.currency)} requested"
    if isinstance(state, PaymentState) and state.due_date is not None:
        text += f", to be executed on {state.due_date.isoformat()}"
    return TimelineEntry(started_at, text, BILLWERK)


def _facts(state: TransactionState) -> Iterator[TimelineEntry]:
    for fact in sorted(
        state.facts.values(), key=lambda fact: (fact.booked_on or date.max, fact.id)
    ):
        yield _told(state, fact.id, _fact(fact, state.currency))


def _told(state: TransactionState, key: str, text: str) -> TimelineEntry:
    evidence = state.fact_sources.get(key)
    if evidence is None:
        return TimelineEntry(None, text, "the PSP")
    return TimelineEntry(evidence.at, text, describe_evidence(state, evidence))


def _fact(fact: Fact, currency: str) -> str:
    until = f", until {moment(fact.expires_at)}" if fact.expires_at else ""
    cause = f", reason {fact.reason.name}" if fact.reason is not None else ""
    code = f" ({fact.psp_reason_code})" if fact.psp_reason_code else ""
    what = f"{amount(fact.amount, currency)} {_DONE[fact.kind]}"
    return f"{what}{day(fact.booked_on)}{until}{cause}{code}, PSP id `{fact.id}`"


def _others(state: TransactionState) -> Iterator[TimelineEntry]:
    """What other transactions, and people at the PSP's dashboard, did with the money."""
    if isinstance(state, PaymentState):
        for by, refund in state.refunds.items():
            yield _refund(state, by, refund.amount, refund.psp_id, refund.booked_on)
    elif isinstance(state, PreauthState):
        yield from _captured(state)


def _refund(
    state: PaymentState, by: str, value: Decimal, psp_id: str | None, on: date | None
) -> TimelineEntry:
    given = f"{amount(value, state.currency)} given back{day(on)}"
    if psp_id is not None and by == adopted_by(psp_id):
        text = f"{given} by a refund made without this service, PSP id `{psp_id}`"
        return _told(state, by, text)
    known = f", PSP id `{psp_id}`" if psp_id else ""
    return TimelineEntry(None, f"{given} by the refund `{by}`{known}", "its own workflow")


def _captured(state: PreauthState) -> Iterator[TimelineEntry]:
    if state.adopted is not None:
        psp_id, value = state.adopted.psp_id, amount(state.adopted.amount, state.currency)
        text = f"{value} captured without this service, PSP id `{psp_id}`"
        yield _told(state, adopted_by(psp_id), text)
    if state.captured and state.captured_by and not state.captured_by.startswith(adopted_by("")):
        yield TimelineEntry(
            None, f"captured by the payment `{state.captured_by}`", "its own workflow"
        )


def _ending(state: TransactionState) -> Iterator[TimelineEntry]:
    told_with_facts = state.failure is None and state.evidence in state.fact_sources.values()
    if state.evidence is None or told_with_facts:
        return
    text = state.status.name
    if state.failure is not None:
        code = f", PSP code `{state.failure.psp_code}`" if state.failure.psp_code else ""
        text += f" with {state.failure.code.name}{code}"
    yield TimelineEntry(state.evidence.at, text, describe_evidence(state, state.evidence))


def _decided(decision: Decision, currency: str) -> TimelineEntry:
    match decision.kind:
        case DecisionKind.ACKNOWLEDGE:
            looked_at = " / ".join(decision.acknowledged)
            what = f"acknowledged: {looked_at}"
        case DecisionKind.FAILED:
            what = "decided that it failed"
        case DecisionKind.SUCCEEDED:
            value = amount(decision.amount, currency) if decision.amount is not None else ""
            what = f"decided that it succeeded with {value}, PSP id `{decision.psp_id}`"
        case _:
            assert_never(decision.kind)
    return TimelineEntry(decision.at, f"{what}; reason: {reason(decision.reason)}", OPERATOR)


def _announced(delivery: Delivery | None) -> Iterator[TimelineEntry]:
    if delivery is not None and delivery.delivered_at is not None:
        text = f"change notification of version {delivery.announced} delivered"
        yield TimelineEntry(delivery.delivered_at, text, BILLWERK)
