"""Mutation control: check that a campaign detects each of a set of planted bugs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from rich.console import Console
from rich.table import Table

from devtools.campaign.config import Config
from devtools.campaign.report import Result
from devtools.campaign.run import run
from devtools.campaign.violations import Column

FAULTS = frozenset(
    {
        "PSP drops after booking",
        "PSP 503 after booking",
        "PSP webhook doubled",
        "webhook target answers 500",
        "webhook target down",
    }
)
"""Kinds of faults injected besides most planted bugs: enough to expose each, and fast."""

_HEALING_SECONDS = 300
"""Time limit without a bug: the product looks up, and opens again, within minutes."""

BASE = Config(
    transactions=90,
    seed=11,
    minutes=4,
    quiescence_seconds=25,
    settle_seconds=1.0,
    slow_seconds=2.0,
    reconcile_seconds=600.0,  # it would repair what the planted bug breaks
    reconcile_rounds=0,
    fault_rounds=2,
    fault_kinds=FAULTS,
    max_diagnostics=0,
)


@dataclass(frozen=True)
class PlantedBug:
    """Column that must detect a bug, and the faults that expose it, each `rounds` times.

    `key_seconds` is for how long the PSP remembers a key, `psp` the one that the bug concerns.
    """

    column: Column
    faults: frozenset[str] = FAULTS
    rounds: int = 2
    key_seconds: float = BASE.key_seconds
    psp: str = BASE.psp


_RESETS = frozenset({"workflow reset to its first task", "workflow reset to any task"})
_ERASURE = frozenset({"customer erased while a charge is unknown"})
_ENDS = frozenset({"workflow terminated", "workflow deleted", "webhook target down"})
_LATE_CREATIONS = frozenset({"PSP too late", "PSP stores failures", "PSP look-ups fail"})
_SIGNALS = frozenset({"signal without argument", "signal with too many arguments"})

BUGS: Mapping[str, PlantedBug] = {
    "new-key-per-attempt": PlantedBug(Column.DOUBLE),
    "key-per-attempt-on-create": PlantedBug(Column.DOUBLE, _LATE_CREATIONS, 4, psp="stripe"),
    "workflow-per-post": PlantedBug(Column.DOUBLE),
    "unknown-is-failed": PlantedBug(Column.LOST),
    "unknown-is-succeeded": PlantedBug(Column.LOST),
    "chargeback-overlooked": PlantedBug(Column.LOST),
    "cancelled-without-asking": PlantedBug(Column.LOST),
    "older-snapshot-wins": PlantedBug(Column.WRONG),
    "notification-dropped": PlantedBug(Column.STUCK),
    "capture-without-lock": PlantedBug(Column.WRONG),
    "webhook-sent-once": PlantedBug(Column.STALE),
    "change-not-announced": PlantedBug(Column.STALE),
    "refunds-without-reservation": PlantedBug(Column.OVER),
    "refund-settled-twice": PlantedBug(Column.AMOUNT),
    "facts-counted-twice": PlantedBug(Column.AMOUNT),
    "key-window-from-workflow-start": PlantedBug(Column.DOUBLE, _RESETS, 8, key_seconds=12.0),
    "refused-record-is-success": PlantedBug(Column.STUCK, _RESETS, 8),
    "unsealed-result-is-evidence": PlantedBug(
        Column.LOST, frozenset({"PSP call completed by an operator"}), 4
    ),
    "attempt-number-is-proof": PlantedBug(Column.LOST, _ERASURE, 3),
    "unknown-marked-as-not-sent": PlantedBug(Column.LOST, _ERASURE, 3),
    "ended-workflow-not-recovered": PlantedBug(Column.STUCK, _ENDS, 6),
    "malformed-signal-stops-workflow": PlantedBug(Column.STUCK, _SIGNALS, 3),
}


@dataclass(frozen=True)
class ControlResult:
    """Result of a campaign with a planted bug; `expected` is None for the one without."""

    bug: str
    expected: Column | None
    result: Result

    @property
    def as_expected(self) -> bool:
        """Return whether the bug was found in its column, or nothing was found without a bug."""
        if self.expected is None:
            return self.result.clean
        return self.result.counts[self.expected] > 0


def run_control(console: Console, bugs: Sequence[str] = tuple(BUGS), seed: int = BASE.seed) -> bool:
    """Run the same campaign without a bug, then with each; return whether all were detected."""
    base = replace(BASE, seed=seed)
    kinds = FAULTS.union(*(BUGS[bug].faults for bug in bugs))
    healthy = replace(base, quiescence_seconds=_HEALING_SECONDS, fault_kinds=kinds)
    results = [_run_bug("none", None, healthy, console)]
    for bug in bugs:
        planted = BUGS[bug]
        config = replace(
            base,
            planted_bug=bug,
            fault_kinds=planted.faults,
            fault_rounds=planted.rounds,
            key_seconds=planted.key_seconds,
            psp=planted.psp,
        )
        results.append(_run_bug(bug, planted.column, config, console))
    table = Table("planted bug", "expected violation", "violations", "seconds", title="Control")
    for result in results:
        style = None if result.as_expected else "bold red"
        table.add_row(*_cells(result), style=style)
    console.print(table)
    return all(result.as_expected for result in results)


def _run_bug(bug: str, expected: Column | None, config: Config, console: Console) -> ControlResult:
    control_result = ControlResult(bug, expected, run(config))
    console.print(
        " | ".join(_cells(control_result)), style=None if control_result.as_expected else "red"
    )
    if not control_result.as_expected:
        for violation in control_result.result.violations:
            console.print(f"  {violation.column}: {violation.transaction}: {violation.text}")
    return control_result


def _cells(result: ControlResult) -> tuple[str, str, str, str]:
    counts = result.result.counts
    violations = ", ".join(f"{column} {counts[column]}" for column in Column if counts[column])
    seconds = sum(result.result.seconds.values())
    return result.bug, str(result.expected or "nothing"), violations or "nothing", f"{seconds:.0f}"
