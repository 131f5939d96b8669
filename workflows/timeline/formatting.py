"""How amounts, times and proofs are put into words."""

from datetime import date, datetime
from decimal import Decimal

from integrator.contract import money
from workflows.state import Evidence, EvidenceKind, TransactionState

LONGEST_REASON = 300


def amount(value: Decimal, currency: str) -> str:
    """`49.90 EUR`, `500 JPY`; as it is where the currency does not allow it: a tale never fails."""
    try:
        value = money.quantize(value, currency)
    except (money.InexactAmountError, money.UnknownCurrencyError):
        return f"{value} {currency}"
    return f"{value} {currency}"


def moment(at: datetime) -> str:
    """`2026-01-15 09:00:00 UTC`."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"


def day(on: date | None) -> str:
    """`, booked on 2026-01-15`, or nothing."""
    return f", booked on {on.isoformat()}" if on else ""


def reason(text: str) -> str:
    """An operator's reason on one line."""
    line = " ".join(text.split())
    return line if len(line) <= LONGEST_REASON else f"{line[:LONGEST_REASON]}…"


def describe_evidence(state: TransactionState, evidence: Evidence) -> str:
    """Who said it, as the end of "it is so because ..."."""
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
            decision = state.decision_behind(evidence)
            return f"an operator decided: {reason(decision.reason) if decision else ''}"
