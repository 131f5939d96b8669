"""A transaction's story on one screen, and as a document."""

from collections.abc import Iterator, Sequence
from typing import Any

from integrator.operations.explain.query import Explained, Source
from integrator.operations.output import printable_lines, second
from integrator.store.models import (
    DecisionRow,
    DeliveryRow,
    NotificationSummary,
    TransactionSummary,
)
from workflows.timeline import TimelineEntry
from workflows.timeline.formatting import amount

LINES = 40
"""What fits on a screen."""

_MOST = {"next": 6, "webhooks": 4, "received": 4, "decisions": 3, "related": 5}
_LABEL = 11
_SOURCES = {
    Source.WORKFLOW: "As its workflow says now.",
    Source.STORE_GONE: "As the store says: Temporal does not keep its workflow any more.",
    Source.STORE_SILENT: "As the store says: its workflow could not be asked now.",
}


def screen(found: Explained) -> str:
    """At most `LINES` lines; what does not fit is counted, and in the document."""
    story = found.story
    sections = {
        "why": [story.status_reason],
        "next": list(story.next),
        "webhooks": [_delivery(row) for row in found.deliveries] or ["none sent"],
        "received": [_received(row) for row in found.received] or ["no notification of the PSP"],
        "decisions": [decision(row) for row in found.decisions],
        "related": [_related(row) for row in found.related],
    }
    after = [
        line
        for label, lines in sections.items()
        for line in _labelled(label, _newest(lines, _MOST.get(label, 1)))
    ]
    head = list(_head(found))
    left = LINES - len(head) - len(after)
    past = _labelled("happened", _first_and_last([_line(line) for line in story.happened], left))
    return printable_lines("\n".join((*head, *past, *after)))


def document(found: Explained) -> dict[str, Any]:
    """All of it, for programs."""
    row, state = found.row, found.state
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
        "source": found.source.name.lower(),
        "happened": found.story.happened,
        "why": found.story.status_reason,
        "next": found.story.next,
        "webhooks": found.deliveries,
        "notifications": found.received,
        "decisions": found.decisions,
        "related": found.related,
    }


def decision(row: DecisionRow) -> str:
    """A line of the audit."""
    on = f" {row.psp_id}" if row.psp_id else ""
    change = f", {row.status_before} to {row.status_after}" if row.status_after else ""
    refusal = f" ({row.refusal})" if row.refusal else ""
    reason = row.reason if row.reason is not None else "(erased)"
    said = " ".join(reason.split())
    return (
        f"{second(row.decided_at)} {row.decided_by}: {row.kind}{on}, "
        f"{row.outcome}{refusal}{change}: {said}"
    )


def _head(found: Explained) -> Iterator[str]:
    row, state = found.row, found.state
    value = amount(row.requested_amount, row.currency)
    yield f"{row.kind} {row.transaction_id} of {row.merchant_id}: {state.status.name}, {value}"
    ids = {
        "PSP's id": state.psp_transaction_id or state.psp_session_id,
        "external id": row.external_id,
        "agreement": row.agreement_id,
    }
    known = "; ".join(f"{name} {id}" for name, id in ids.items() if id)
    erased = " (personal data erased)" if row.erased else ""
    yield f"{row.psp}, {row.role}; {known}{erased}"
    yield _SOURCES[found.source]
    yield ""


def _line(line: TimelineEntry) -> str:
    at = second(line.at) if line.at is not None else " " * 19
    return f"{at}  {line.text} — {line.said_by}"


def _delivery(row: DeliveryRow) -> str:
    attempts = f"{row.attempts} attempt{'s' if row.attempts > 1 else ''}"
    status = f"HTTP {row.last_status}" if row.last_status else "no answer"
    error = f": {row.last_error}" if row.last_error else ""
    at = second(row.last_attempt_at)
    return f"{at}  version {row.version} {row.state}, {attempts}, {status}{error}"


def _received(row: NotificationSummary) -> str:
    found = " (found in the PSP's list)" if row.source == "listed" else ""
    return f"{second(row.received_at)}  {row.event_id}: {row.state}{found}"


def _related(row: TransactionSummary) -> str:
    value = amount(row.requested_amount, row.currency)
    return f"{second(row.created_at)}  {row.kind} {row.transaction_id}: {row.status}, {value}"


def _labelled(label: str, lines: Sequence[str]) -> list[str]:
    return [f"{'' if number else label:<{_LABEL}}{line}" for number, line in enumerate(lines)]


def _newest(lines: Sequence[str], most: int) -> list[str]:
    if len(lines) <= most:
        return list(lines)
    return [*lines[: most - 1], f"{len(lines) - most + 1} more (--json shows all)"]


def _first_and_last(lines: Sequence[str], most: int) -> list[str]:
    """How it began matters, and how it ended."""
    if len(lines) <= most:
        return list(lines)
    tail = max(most - 2, 1)
    return [lines[0], f"... {len(lines) - tail - 1} more (--json shows all)", *lines[-tail:]]
