"""Past entries of a timeline, and the reason of the status."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import assert_never

from integrator.contract import times
from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.types import Fact, FactKind
from workflows.messages import Delivery
from workflows.state import (
    Decision,
    DecisionKind,
    PaymentState,
    PreauthState,
    TransactionState,
    external_movement_key,
)
from workflows.timeline.formatting import (
    describe_evidence,
    format_amount,
    format_booking_day,
    format_reason,
    format_time,
)

US = "this service"
BILLWERK = "Billwerk+"
OPERATOR = "an operator"

_FACT_TEXTS = {
    FactKind.AUTHORIZED: "reserved",
    FactKind.PAID: "taken",
    FactKind.REFUNDED: "given back",
    FactKind.RETURNED: "came back, though it had been given back",
    FactKind.CHARGED_BACK: "charged back by the customer's bank",
    FactKind.CHARGEBACK_REVERSED: "of a chargeback came back",
}


@dataclass(frozen=True)
class TimelineEntry:
    """One event; `at` is when this service learned of it, None where that was not stored."""

    at: datetime | None
    text: str
    said_by: str


def build_history(
    state: TransactionState, delivery: Delivery | None, started_at: datetime | None
) -> tuple[TimelineEntry, ...]:
    """Return all entries, oldest first; before them those without a time, by booking date."""
    entries = [
        *_fact_entries(state),
        *_related_entries(state),
        *_ending_entries(state),
        *_succession_entries(state),
        *(_decision_entry(decision, state.currency) for decision in state.decisions),
        *_delivery_entries(delivery),
    ]
    undated = [entry for entry in entries if entry.at is None]
    dated = sorted((entry for entry in entries if entry.at is not None), key=_timestamp)
    return (_request_entry(state, started_at), *undated, *dated)


def status_reason(state: TransactionState) -> str:
    """Return one sentence: the status, and what it rests on."""
    return f"{state.status.name}, because {_reason(state)}."


def _reason(state: TransactionState) -> str:
    match state.status:
        case Status.Initiated:
            if state.psp_session_id is not None:
                return "the customer has not finished on the PSP's checkout page"
            return "the PSP has not answered yet"
        case Status.Pending:
            if state.waiting_until is not None:
                return "it waits for its day and has no answer of the PSP"
            if state.psp_transaction_id is None and state.psp_session_id is None:
                return "it is not known yet what became of the request at the PSP"
            return "the PSP has it and has not decided"
        case Status.Succeeded | Status.Failed | Status.Cancelled | Status.Expired:
            if state.evidence is None:
                return "it was recorded before evidence was stored"
            return describe_evidence(state, state.evidence)
        case _:
            assert_never(state.status)


def _timestamp(entry: TimelineEntry) -> float:
    return times.to_utc(entry.at).timestamp() if entry.at is not None else 0.0


def _request_entry(state: TransactionState, started_at: datetime | None) -> TimelineEntry:
    text = (
        f"{state.kind.value} of {format_amount(state.requested_amount, state.currency)} requested"
    )
    if isinstance(state, PaymentState) and state.due_date is not None:
        text += f", to be executed on {state.due_date.isoformat()}"
    return TimelineEntry(started_at, text, BILLWERK)


def _fact_entries(state: TransactionState) -> Iterator[TimelineEntry]:
    for fact in sorted(
        state.facts.values(), key=lambda fact: (fact.booked_on or date.max, fact.id)
    ):
        yield _entry_with_source(state, fact.id, _fact_text(fact, state.currency))


def _entry_with_source(state: TransactionState, key: str, text: str) -> TimelineEntry:
    evidence = state.fact_sources.get(key)
    if evidence is None:
        return TimelineEntry(None, text, "the PSP")
    return TimelineEntry(evidence.at, text, describe_evidence(state, evidence))


def _fact_text(fact: Fact, currency: str) -> str:
    until = f", until {format_time(fact.expires_at)}" if fact.expires_at else ""
    cause = f", reason {fact.reason.name}" if fact.reason is not None else ""
    code = f" ({fact.psp_reason_code})" if fact.psp_reason_code else ""
    what = f"{format_amount(fact.amount, currency)} {_FACT_TEXTS[fact.kind]}"
    return f"{what}{format_booking_day(fact.booked_on)}{until}{cause}{code}, PSP id `{fact.id}`"


def _related_entries(state: TransactionState) -> Iterator[TimelineEntry]:
    """Yield what other transactions and external movements did with the money."""
    if isinstance(state, PaymentState):
        for by, refund in state.refunds.items():
            yield _refund_entry(state, by, refund.amount, refund.psp_id, refund.booked_on)
    elif isinstance(state, PreauthState):
        yield from _capture_entries(state)


def _refund_entry(
    state: PaymentState, by: str, value: Decimal, psp_id: str | None, on: date | None
) -> TimelineEntry:
    given = f"{format_amount(value, state.currency)} given back{format_booking_day(on)}"
    if psp_id is not None and by == external_movement_key(psp_id):
        text = f"{given} by a refund made without this service, PSP id `{psp_id}`"
        return _entry_with_source(state, by, text)
    known = f", PSP id `{psp_id}`" if psp_id else ""
    return TimelineEntry(None, f"{given} by the refund `{by}`{known}", "its own workflow")


def _capture_entries(state: PreauthState) -> Iterator[TimelineEntry]:
    if state.adopted is not None:
        psp_id, value = state.adopted.psp_id, format_amount(state.adopted.amount, state.currency)
        text = f"{value} captured without this service, PSP id `{psp_id}`"
        yield _entry_with_source(state, external_movement_key(psp_id), text)
    if (
        state.captured
        and state.captured_by
        and not state.captured_by.startswith(external_movement_key(""))
    ):
        yield TimelineEntry(
            None, f"captured by the payment `{state.captured_by}`", "its own workflow"
        )


def _ending_entries(state: TransactionState) -> Iterator[TimelineEntry]:
    shown_with_facts = state.failure is None and state.evidence in state.fact_sources.values()
    if state.evidence is None or shown_with_facts:
        return
    text = state.status.name
    if state.failure is not None:
        code = f", PSP code `{state.failure.psp_code}`" if state.failure.psp_code else ""
        text += f" with {state.failure.code.name}{code}"
    yield TimelineEntry(state.evidence.at, text, describe_evidence(state, state.evidence))


def _succession_entries(state: TransactionState) -> Iterator[TimelineEntry]:
    for former_id, new_id in state.successors.items():
        text = f"the payment method `{former_id}` continues as `{new_id}`"
        yield TimelineEntry(None, text, "the PSP")


def _decision_entry(decision: Decision, currency: str) -> TimelineEntry:
    match decision.kind:
        case DecisionKind.ACKNOWLEDGE:
            lines = " / ".join(decision.acknowledged)
            text = f"acknowledged: {lines}"
        case DecisionKind.FAILED:
            text = "decided that it failed"
        case DecisionKind.SUCCEEDED:
            value = format_amount(decision.amount, currency) if decision.amount is not None else ""
            text = f"decided that it succeeded with {value}, PSP id `{decision.psp_id}`"
        case _:
            assert_never(decision.kind)
    return TimelineEntry(decision.at, f"{text}; reason: {format_reason(decision.reason)}", OPERATOR)


def _delivery_entries(delivery: Delivery | None) -> Iterator[TimelineEntry]:
    if delivery is not None and delivery.delivered_at is not None:
        text = f"change notification of version {delivery.announced} delivered"
        yield TimelineEntry(delivery.delivered_at, text, BILLWERK)
