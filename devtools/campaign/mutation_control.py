"""The control: would a campaign find a bug if there were one? Each is planted and looked for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.console import Console
from rich.table import Table

from devtools.campaign.config import Config
from devtools.campaign.report import Result
from devtools.campaign.run import run
from devtools.campaign.violations import Column

CALM = frozenset(
    {
        "PSP drops after booking",
        "PSP 503 after booking",
        "PSP webhook doubled",
        "webhook target answers 500",
        "webhook target down",
    }
)
"""What is broken besides the planted bug: enough to bring each out, over soon."""

BASE = Config(
    transactions=90,
    seed=11,
    minutes=4,
    quiet_seconds=25,
    settle_seconds=1.0,
    slow_seconds=2.0,
    reconcile_seconds=600.0,  # it would mend what the planted bug has broken
    reconcile_rounds=0,
    rounds=2,
    only=CALM,
    stories=0,
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
"""Each planted bug with the column that has to find it."""


@dataclass(frozen=True)
class Verdict:
    """What a campaign with a planted bug found; `expected` is None for the one without."""

    bug: str
    expected: Column | None
    result: Result

    @property
    def right(self) -> bool:
        """Found where it should be, or nothing found where nothing is."""
        if self.expected is None:
            return self.result.clean
        return self.result.counts[self.expected] > 0


def control(console: Console, bugs: Sequence[str] = tuple(BUGS), seed: int = BASE.seed) -> bool:
    """Run the same campaign without a bug, then with each; whether all were found."""
    base = replace(BASE, seed=seed)
    verdicts = [_verdict("none", None, replace(base, quiet_seconds=120), console)]
    for bug in bugs:
        verdicts.append(_verdict(bug, BUGS[bug], replace(base, planted=bug), console))
    table = Table("planted bug", "must be found by", "found by", "seconds", title="Control")
    for verdict in verdicts:
        style = None if verdict.right else "bold red"
        table.add_row(*_cells(verdict), style=style)
    console.print(table)
    return all(verdict.right for verdict in verdicts)


def _verdict(bug: str, expected: Column | None, config: Config, console: Console) -> Verdict:
    verdict = Verdict(bug, expected, run(config))
    console.print(" | ".join(_cells(verdict)), style=None if verdict.right else "red")
    if not verdict.right:
        for finding in verdict.result.findings:
            console.print(f"  {finding.column}: {finding.transaction}: {finding.text}")
    return verdict


def _cells(verdict: Verdict) -> tuple[str, str, str, str]:
    counts = verdict.result.counts
    found = ", ".join(f"{column} {counts[column]}" for column in Column if counts[column])
    seconds = sum(verdict.result.seconds.values())
    return verdict.bug, str(verdict.expected or "nothing"), found or "nothing", f"{seconds:.0f}"
