"""Formatting of amounts, times and evidence."""

from contextlib import suppress
from datetime import date, datetime
from decimal import Decimal

from integrator.contract import money, times
from workflows.state import Evidence, EvidenceKind, TransactionState

MAX_REASON_LENGTH = 300


def format_amount(value: Decimal, currency: str, decimals: int | None = None) -> str:
    """Format as `49.90 EUR` or `500 JPY`; inexact amounts and unknown currencies stay as is.

    `decimals` are those of the currency; None stands for those of our table.
    """
    decimals = money.resolve_exponent(currency, decimals)
    if decimals is not None:
        with suppress(money.InexactAmountError):
            value = money.quantize_to(value, decimals)
    return f"{value} {currency}"


def format_time(at: datetime) -> str:
    """Format as `2026-01-15 09:00:00 UTC`."""
    return f"{times.to_utc(at).isoformat(sep=' ', timespec='seconds')[:19]} UTC"


def format_booking_day(on: date | None) -> str:
    """Format as `, booked on 2026-01-15`; empty if None."""
    return f", booked on {on.isoformat()}" if on else ""


def format_reason(text: str) -> str:
    """Return an operator's reason on one line, shortened."""
    line = " ".join(text.split())
    return line if len(line) <= MAX_REASON_LENGTH else f"{line[:MAX_REASON_LENGTH]}…"


def describe_evidence(state: TransactionState, evidence: Evidence) -> str:
    """Return the source of the evidence as the end of a sentence "..., because ..."."""
    match evidence.kind:
        case EvidenceKind.ANSWER:
            return f"the PSP answered our call `{evidence.source}`"
        case EvidenceKind.NOTIFICATION:
            return f"a verified notification of the PSP said so (`{evidence.source}`)"
        case EvidenceKind.READ:
            return f"a read at the PSP said so (`{evidence.source}`)"
        case EvidenceKind.VOID:
            return "the PSP confirmed the void"
        case EvidenceKind.NOT_SENT:
            return "nothing was sent to the PSP"
        case EvidenceKind.DECISION:
            decision = state.find_decision(evidence)
            return f"an operator decided: {format_reason(decision.reason) if decision else ''}"
