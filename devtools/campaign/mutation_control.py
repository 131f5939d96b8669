"""Mutation control: check that a campaign detects each of a set of planted bugs."""

from collections.abc import Sequence
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
"""Kinds of faults injected besides the planted bug: enough to expose each, and fast."""

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

BUGS = {
    "new-key-per-attempt": Column.DOUBLE,
    "workflow-per-post": Column.DOUBLE,
    "unknown-is-failed": Column.LOST,
    "unknown-is-succeeded": Column.LOST,
    "chargeback-overlooked": Column.LOST,
    "cancelled-without-asking": Column.LOST,
    "older-snapshot-wins": Column.WRONG,
    "notification-dropped": Column.STUCK,
    "capture-without-lock": Column.WRONG,
    "webhook-sent-once": Column.STALE,
    "change-not-announced": Column.STALE,
    "refunds-without-reservation": Column.OVER,
    "refund-settled-twice": Column.AMOUNT,
    "facts-counted-twice": Column.AMOUNT,
}
"""Each planted bug with the column that must detect it."""


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
    results = [_run_bug("none", None, replace(base, quiescence_seconds=120), console)]
    for bug in bugs:
        results.append(_run_bug(bug, BUGS[bug], replace(base, planted_bug=bug), console))
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
