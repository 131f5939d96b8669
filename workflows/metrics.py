"""What a transaction's workflow counts: through the SDK, which counts nothing during a replay.

The SDK shows these beside its own metrics, with labels of its own added.
"""

from typing import NamedTuple

from temporalio import workflow

from workflows.messages import TransactionInput
from workflows.state import TransactionState


class Meter(NamedTuple):
    """A counter: its name without `_total`, what it counts, and the labels we give it."""

    name: str
    meaning: str
    labels: tuple[str, ...]


OUTCOMES = Meter(
    "integrator_outcomes",
    "Transactions that came to a status other than Initiated; `code` says why one failed",
    ("psp", "kind", "status", "code"),
)
ATTENTION = Meter(
    "integrator_attention_raised",
    "Reasons for a person to look at a transaction, once for each",
    ("psp", "kind"),
)
REOPENED = Meter(
    "integrator_workflows_reopened",
    "Workflows that had closed and were opened again by a message, or went on as a new run",
    ("psp", "kind"),
)
METERS = (OUTCOMES, ATTENTION, REOPENED)


class StateMetrics:
    """Sees the states of one run and counts what is new in them."""

    def __init__(self, start: TransactionInput, state: TransactionState, *, resumed: bool) -> None:
        self._labels = {"psp": start.psp, "kind": state.kind.value}
        self._status = state.status
        self._reasons = _reasons(state)
        if resumed:
            self._count(REOPENED)

    def see(self, state: TransactionState) -> None:
        """To be called with every state that is kept."""
        if state.status is not self._status:
            self._status = state.status
            code = state.failure.code.name if state.failure else "none"
            self._count(OUTCOMES, status=state.status.name, code=code)
        for _ in _reasons(state) - self._reasons:
            self._count(ATTENTION)
        self._reasons = _reasons(state)

    def _count(self, meter: Meter, **more: str) -> None:
        counter = workflow.metric_meter().create_counter(meter.name, meter.meaning)
        counter.add(1, {**self._labels, **more})


def _reasons(state: TransactionState) -> set[str]:
    return set(state.attention.splitlines()) if state.attention else set()
