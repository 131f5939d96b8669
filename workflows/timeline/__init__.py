"""Timeline of a transaction: what happened, why its status is what it is, what comes next.

It is built from a state alone, live or stored, so the Temporal UI and the command line show the
same. A state holds nothing personal, except what an operator may write into a decision's reason.
"""

from dataclasses import dataclass
from datetime import datetime

from workflows.messages import AnyInput, Delivery, PaymentInput, PreauthInput
from workflows.state import TransactionState
from workflows.text_limits import fit_details, fit_summary
from workflows.timeline.formatting import format_amount, format_time
from workflows.timeline.history import TimelineEntry, build_history, status_reason
from workflows.timeline.next_steps import build_next_steps

__all__ = ["Timeline", "TimelineEntry", "build_timeline", "markdown", "summarize_input"]


@dataclass(frozen=True)
class Timeline:
    """Entries of the past in order of time, one sentence on the status, and the next steps."""

    happened: tuple[TimelineEntry, ...]
    status_reason: str
    next_steps: tuple[str, ...]


def build_timeline(
    state: TransactionState,
    delivery: Delivery | None,
    now: datetime,
    next_look_up: datetime | None = None,
    started_at: datetime | None = None,
) -> Timeline:
    """Build the timeline; `delivery` is None where no workflow can be queried for it."""
    return Timeline(
        happened=build_history(state, delivery, started_at),
        status_reason=status_reason(state),
        next_steps=build_next_steps(state, delivery, now, next_look_up),
    )


def markdown(timeline: Timeline) -> str:
    """Format the timeline for the Temporal UI, not longer than it may be there."""
    past = [
        f"- {_time_prefix(entry.at)}{entry.text} — *{entry.said_by}*" for entry in timeline.happened
    ]
    steps = [f"- {step}" for step in timeline.next_steps]
    return fit_details([f"**{timeline.status_reason}**", ""], past, ["", "**Next**", "", *steps])


def summarize_input(start: AnyInput) -> str:
    """Return the text for the list of workflows; it contains nothing personal."""
    value = format_amount(start.requested_amount, start.currency, start.currency_exponent)
    if isinstance(start, PreauthInput):
        text = f"preauth of {value}" if start.requested_amount else "sign-up, nothing reserved"
    elif isinstance(start, PaymentInput):
        charge = f"charge of {value}"
        text = f"capture of {value} of preauth {start.preauth_id}" if start.preauth_id else charge
        text += f", planned for {start.execute_on.isoformat()}" if start.execute_on else ""
    else:
        text = f"refund of {value} of payment {start.payment_id}"
    return fit_summary(f"{text}, via {start.psp}")


def _time_prefix(at: datetime | None) -> str:
    return f"{format_time(at)}: " if at is not None else ""
