"""Report of a campaign: one table, violations and their diagnostics."""

import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from devtools.campaign.violations import Column, Violation


@dataclass(frozen=True)
class Result:
    """Result of a campaign. `diagnostics` cover the first transactions with violations."""

    seed: int
    seconds: Mapping[str, float]
    transaction_counts: Counter[str]
    skipped: int
    lost_requests: Counter[str]
    injected: Counter[str]
    webhooks: int
    ledger_entries: int
    violations: Sequence[Violation]
    unmatched_webhooks: Sequence[str] = ()
    operator_actions: Counter[str] = field(default_factory=Counter)
    unfinished: str = ""
    diagnostics: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def counts(self) -> Counter[Column]:
        """Return the number of transactions with violations by column."""
        return Counter(column for column, _ in {(v.column, v.transaction) for v in self.violations})

    @property
    def clean(self) -> bool:
        """Return whether there is no violation and no unmatched webhook."""
        return not self.violations and not self.unmatched_webhooks


def print_report(result: Result, console: Console) -> None:
    """Print the table, the violations and the diagnostics."""
    table = Table(title=f"Fault campaign, seed {result.seed}", show_lines=False)
    table.add_column("")
    table.add_column("", justify="right")
    _add_section(table, "transactions", result.transaction_counts, total=True)
    table.add_row("planned but skipped", str(result.skipped))
    table.add_row("webhooks received", str(result.webhooks))
    table.add_row("movements in the PSP's ledger", str(result.ledger_entries), end_section=True)
    _add_section(
        table, "requests without a definite response, repeated", result.lost_requests, total=True
    )
    _add_section(table, "faults injected", result.injected, total=True)
    if result.operator_actions:
        _add_section(table, "operator actions", result.operator_actions, total=True)
    for column in Column:
        count = result.counts[column]
        table.add_row(Text(column, "bold"), Text(str(count), "bold red" if count else "bold green"))
    table.add_section()
    for phase, seconds in result.seconds.items():
        table.add_row(f"seconds: {phase}", f"{seconds:.0f}")
    console.print(table)
    if result.unfinished:
        console.print(Text(f"Still pending at the end: {result.unfinished}", "red"))
    for webhook in result.unmatched_webhooks:
        console.print(Text(f"Webhook of an unknown transaction: {webhook}", "red"))
    _print_violations(result, console)


def _add_section(table: Table, name: str, counts: Counter[str], *, total: bool) -> None:
    label = f"{name} ({len(counts)} kinds)"
    table.add_row(Text(label, "bold"), str(sum(counts.values())) if total else "")
    for key in sorted(counts):
        table.add_row(f"  {key}", str(counts[key]))
    table.add_section()


def _print_violations(result: Result, console: Console) -> None:
    for violation in result.violations:
        line = f"{violation.column}: {violation.transaction}: {violation.text}"
        console.print(Text(line, "red"), soft_wrap=True)
    for id, lines in result.diagnostics.items():
        console.rule(f"Diagnostics of {id}")
        for line in lines:
            console.print(Text(line), soft_wrap=True)


def format_time(at: float) -> str:
    """Return a time of day in UTC."""
    return f"{time.strftime('%H:%M:%S', time.gmtime(at))}.{int(at % 1 * 1000):03}"


def to_json_line(value: Any) -> str:
    """Return a value as JSON in one line."""
    return json.dumps(value, default=str, ensure_ascii=False)
