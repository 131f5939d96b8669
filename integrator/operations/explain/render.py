"""Render a transaction's timeline as one screen of text and as a JSON document."""

from collections.abc import Iterator, Sequence
from typing import Any

from integrator.operations.explain.query import Source, TransactionDetails
from integrator.operations.output import format_second, printable_lines
from integrator.store.models import (
    DecisionRow,
    DeliveryRow,
    NotificationSummary,
    TransactionSummary,
)
from workflows.timeline import TimelineEntry
from workflows.timeline.formatting import format_amount

MAX_LINES = 40
"""Lines that fit on a screen."""

_MAX_ENTRIES = {"next": 6, "webhooks": 4, "received": 4, "decisions": 3, "related": 5}
_LABEL_WIDTH = 11
_SOURCES = {
    Source.WORKFLOW: "Present state of its workflow.",
    Source.STORE_GONE: "State from the store: Temporal does not keep its workflow any more.",
    Source.STORE_SILENT: "State from the store: its workflow did not respond.",
}


def render(details: TransactionDetails) -> str:
    """Render at most `MAX_LINES` lines; what does not fit is counted, and in the document."""
    timeline = details.timeline
    sections = {
        "why": [timeline.status_reason],
        "next": list(timeline.next_steps),
        "webhooks": [_delivery_line(row) for row in details.deliveries] or ["none sent"],
        "received": [_notification_line(row) for row in details.notifications]
        or ["no notification of the PSP"],
        "decisions": [_decision_line(row) for row in details.decisions],
        "related": [_related_line(row) for row in details.related],
    }
    after = [
        line
        for label, lines in sections.items()
        for line in _with_label(label, _limit_newest(lines, _MAX_ENTRIES.get(label, 1)))
    ]
    head = list(_head(details))
    remaining = MAX_LINES - len(head) - len(after)
    past = _with_label(
        "happened", _limit_middle([_timeline_line(line) for line in timeline.happened], remaining)
    )
    return printable_lines("\n".join((*head, *past, *after)))


def to_document(details: TransactionDetails) -> dict[str, Any]:
    """Return all data as a JSON document."""
    row, state = details.row, details.state
    return {
        "transaction": {
            "merchant_id": row.merchant_id,
            "transaction_id": row.transaction_id,
            "kind": row.kind,
            "status": state.status.name,
            "requested_amount": row.requested_amount,
            "currency": row.currency,
            "psp": row.psp,
            "psp_transaction_id": state.psp_transaction_id,
            "psp_session_id": state.psp_session_id,
            "external_id": row.external_id,
            "agreement_id": row.agreement_id,
            "related_id": row.related_id,
            "version": state.version,
            "created_at": row.created_at,
            "last_updated": state.last_updated,
            "attention": list(state.attention_lines),
            "erased": row.erased,
        },
        "source": details.source.name.lower(),
        "happened": details.timeline.happened,
        "why": details.timeline.status_reason,
        "next": details.timeline.next_steps,
        "webhooks": details.deliveries,
        "notifications": details.notifications,
        "decisions": details.decisions,
        "related": details.related,
    }


def _decision_line(row: DecisionRow) -> str:
    """Render a decision of the audit."""
    movement = f" {row.psp_id}" if row.psp_id else ""
    change = f", {row.status_before} to {row.status_after}" if row.status_after else ""
    refusal = f" ({row.refusal})" if row.refusal else ""
    reason = row.reason if row.reason is not None else "(erased)"
    one_line_reason = " ".join(reason.split())
    return (
        f"{format_second(row.decided_at)} {row.decided_by}: {row.kind}{movement}, "
        f"{row.outcome}{refusal}{change}: {one_line_reason}"
    )


def _head(details: TransactionDetails) -> Iterator[str]:
    row, state = details.row, details.state
    value = format_amount(row.requested_amount, row.currency)
    yield f"{row.kind} {row.transaction_id} of {row.merchant_id}: {state.status.name}, {value}"
    ids = {
        "PSP's id": state.psp_transaction_id or state.psp_session_id,
        "external id": row.external_id,
        "agreement": row.agreement_id,
    }
    known_ids = "; ".join(f"{name} {id}" for name, id in ids.items() if id)
    erased = " (personal data erased)" if row.erased else ""
    yield f"{row.psp}, {row.role}; {known_ids}{erased}"
    yield _SOURCES[details.source]
    yield ""


def _timeline_line(line: TimelineEntry) -> str:
    at = format_second(line.at) if line.at is not None else " " * 19
    return f"{at}  {line.text} — {line.said_by}"


def _delivery_line(row: DeliveryRow) -> str:
    attempts = f"{row.attempts} attempt{'s' if row.attempts > 1 else ''}"
    status = f"HTTP {row.last_status}" if row.last_status else "no answer"
    error = f": {row.last_error}" if row.last_error else ""
    at = format_second(row.last_attempt_at)
    return f"{at}  version {row.version} {row.state}, {attempts}, {status}{error}"


def _notification_line(row: NotificationSummary) -> str:
    origin = " (read from the PSP's list)" if row.source == "listed" else ""
    return f"{format_second(row.received_at)}  {row.event_id}: {row.state}{origin}"


def _related_line(row: TransactionSummary) -> str:
    value = format_amount(row.requested_amount, row.currency)
    return (
        f"{format_second(row.created_at)}  {row.kind} {row.transaction_id}: {row.status}, {value}"
    )


def _with_label(label: str, lines: Sequence[str]) -> list[str]:
    return [f"{'' if number else label:<{_LABEL_WIDTH}}{line}" for number, line in enumerate(lines)]


def _limit_newest(lines: Sequence[str], most: int) -> list[str]:
    if len(lines) <= most:
        return list(lines)
    return [*lines[: most - 1], f"{len(lines) - most + 1} more (--json shows all)"]


def _limit_middle(lines: Sequence[str], most: int) -> list[str]:
    """Keep the first and the last lines and count the rest."""
    if len(lines) <= most:
        return list(lines)
    tail = max(most - 2, 1)
    return [lines[0], f"... {len(lines) - tail - 1} more (--json shows all)", *lines[-tail:]]
