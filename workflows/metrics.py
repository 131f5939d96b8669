"""Counters of a transaction's workflow; the SDK increments none of them during a replay.

The SDK exports them beside its own metrics and adds labels of its own.
"""

from typing import NamedTuple

from temporalio import workflow

from workflows.messages import TransactionInput
from workflows.state import TransactionState


class CounterDefinition(NamedTuple):
    """A counter: its name without `_total`, its description and the labels set here."""

    name: str
    description: str
    labels: tuple[str, ...]


OUTCOMES = CounterDefinition(
    "integrator_outcomes",
    "Transactions that came to a status other than Initiated; `code` says why one failed",
    ("psp", "kind", "status", "code"),
)
ATTENTION = CounterDefinition(
    "integrator_attention_raised",
    "Reasons for an operator to look at a transaction, once for each",
    ("psp", "kind"),
)
REOPENED = CounterDefinition(
    "integrator_workflows_reopened",
    "Workflows that had closed and were opened again by a message, or went on as a new run",
    ("psp", "kind"),
)
COUNTERS = (OUTCOMES, ATTENTION, REOPENED)


class StateMetrics:
    """Counts what changes between the states of one run."""

    def __init__(self, start: TransactionInput, state: TransactionState, *, resumed: bool) -> None:
        self._labels = {"psp": start.psp, "kind": state.kind.value}
        self._status = state.status
        self._known_reasons = _attention_reasons(state)
        if resumed:
            self._count(REOPENED)

    def observe(self, state: TransactionState) -> None:
        """Count what is new in a state; to be called before each state is recorded."""
        if state.status is not self._status:
            self._status = state.status
            code = state.failure.code.name if state.failure else "none"
            self._count(OUTCOMES, status=state.status.name, code=code)
        for _ in _attention_reasons(state) - self._known_reasons:
            self._count(ATTENTION)
        self._known_reasons = _attention_reasons(state)

    def _count(self, definition: CounterDefinition, **labels: str) -> None:
        counter = workflow.metric_meter().create_counter(definition.name, definition.description)
        counter.add(1, {**self._labels, **labels})


def _attention_reasons(state: TransactionState) -> set[str]:
    return set(state.attention.splitlines()) if state.attention else set()
