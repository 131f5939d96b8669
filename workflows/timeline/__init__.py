"""What happened to a transaction, why it stands where it does, and what comes next.

Told from a state alone, live or stored, so that the Temporal UI and the command line say the same.
Nothing personal is in a state, but for what an operator may write into the reason of a decision.
"""

from dataclasses import dataclass
from datetime import datetime

from workflows.messages import AnyInput, Delivery, PaymentInput, PreauthInput
from workflows.state import TransactionState
from workflows.timeline.formatting import amount, moment
from workflows.timeline.history import TimelineEntry, happened, status_reason
from workflows.timeline.next_steps import outlook

__all__ = ["TimelineEntry", "Timeline", "markdown", "summary", "build_timeline"]


@dataclass(frozen=True)
class Timeline:
    """`happened` is in order of time; `why` is one sentence; `next` holds one thing each."""

    happened: tuple[TimelineEntry, ...]
    status_reason: str
    next: tuple[str, ...]


def build_timeline(
    state: TransactionState,
    delivery: Delivery | None,
    now: datetime,
    next_look_up: datetime | None = None,
    started_at: datetime | None = None,
) -> Timeline:
    """The story of a transaction; `delivery` is None where no workflow can be asked for it."""
    return Timeline(
        happened=happened(state, delivery, started_at),
        status_reason=status_reason(state),
        next=outlook(state, delivery, now, next_look_up),
    )


def markdown(story: Timeline) -> str:
    """The story for the Temporal UI."""
    past = [f"- {_when(line.at)}{line.text} — *{line.said_by}*" for line in story.happened]
    after = [f"- {line}" for line in story.next]
    return "\n".join([f"**{story.status_reason}**", "", *past, "", "**Next**", "", *after])


def summary(start: AnyInput) -> str:
    """What an operator reads in the list of workflows; nothing personal."""
    value = amount(start.requested_amount, start.currency)
    if isinstance(start, PreauthInput):
        what = f"preauth of {value}" if start.requested_amount else "sign-up, nothing reserved"
    elif isinstance(start, PaymentInput):
        charge = f"charge of {value}"
        what = f"capture of {value} of preauth {start.preauth_id}" if start.preauth_id else charge
        what += f", planned for {start.execute_on.isoformat()}" if start.execute_on else ""
    else:
        what = f"refund of {value} of payment {start.payment_id}"
    return f"{what}, via {start.psp}"


def _when(at: datetime | None) -> str:
    return f"{moment(at)}: " if at is not None else ""
