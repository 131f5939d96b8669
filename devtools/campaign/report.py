"""What a campaign prints: one table, and the story of everything that went wrong."""

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
    """What came of a campaign. `stories` belong to the first bad transactions."""

    seed: int
    seconds: Mapping[str, float]
    made: Counter[str]
    skipped: int
    requests_lost: Counter[str]
    injected: Counter[str]
    webhooks: int
    entries: int
    findings: Sequence[Violation]
    strangers: Sequence[str] = ()
    operated: Counter[str] = field(default_factory=Counter)
    unquiet: str = ""
    stories: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def counts(self) -> Counter[Column]:
        """Bad transactions by column."""
        return Counter(column for column, _ in {(f.column, f.transaction) for f in self.findings})

    @property
    def clean(self) -> bool:
        """Whether every column is zero."""
        return not self.findings and not self.strangers


def show(result: Result, console: Console) -> None:
    """Print the table and the stories."""
    table = Table(title=f"Fault campaign, seed {result.seed}", show_lines=False)
    table.add_column("")
    table.add_column("", justify="right")
    _section(table, "transactions", result.made, total=True)
    table.add_row("planned but skipped", str(result.skipped))
    table.add_row("webhooks received", str(result.webhooks))
    table.add_row("movements in the PSP's ledger", str(result.entries), end_section=True)
    _section(table, "requests without an answer, repeated", result.requests_lost, total=True)
    _section(table, "faults injected", result.injected, total=True)
    if result.operated:
        _section(table, "done by an operator meanwhile", result.operated, total=True)
    for column in Column:
        count = result.counts[column]
        table.add_row(Text(column, "bold"), Text(str(count), "bold red" if count else "bold green"))
    table.add_section()
    for phase, seconds in result.seconds.items():
        table.add_row(f"seconds: {phase}", f"{seconds:.0f}")
    console.print(table)
    if result.unquiet:
        console.print(Text(f"Never quiet: {result.unquiet}", "red"))
    for stranger in result.strangers:
        console.print(Text(f"A webhook about nothing known: {stranger}", "red"))
    _findings(result, console)


def _section(table: Table, name: str, counts: Counter[str], *, total: bool) -> None:
    label = f"{name} ({len(counts)} kinds)"
    table.add_row(Text(label, "bold"), str(sum(counts.values())) if total else "")
    for key in sorted(counts):
        table.add_row(f"  {key}", str(counts[key]))
    table.add_section()


def _findings(result: Result, console: Console) -> None:
    for finding in result.findings:
        line = f"{finding.column}: {finding.transaction}: {finding.text}"
        console.print(Text(line, "red"), soft_wrap=True)
    for id, lines in result.stories.items():
        console.rule(f"The story of {id}")
        for line in lines:
            console.print(Text(line), soft_wrap=True)


def clock(at: float) -> str:
    """A moment of the wall clock, in UTC as everywhere else."""
    return f"{time.strftime('%H:%M:%S', time.gmtime(at))}.{int(at % 1 * 1000):03}"


def shown(value: Any) -> str:
    """A value in one line."""
    return json.dumps(value, default=str, ensure_ascii=False)
