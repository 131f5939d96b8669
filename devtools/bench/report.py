"""From what was measured to a table and a file."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from devtools.bench.measurements import Figures

TARGETS = {
    "POST, 1 caller: p50, ms": "<= 1.3",
    "POST, 32 callers: payments per second": ">= 0.8",
    "GET, 1 caller: p50, ms": "<= 1.3",
    "GET without a worker, 1 caller: p50, ms": "<= 1.0",
    "CPU per payment, both, ms": "<= 2.0",
}
"""Ratios to the bare engine that the integrator is meant to reach."""


def gathered(rounds: Sequence[Figures]) -> dict[str, dict[str, list[float]]]:
    """Figure to side to its values, one for each round."""
    return {
        name: {side: [one[name][side] for one in rounds] for side in sides}
        for name, sides in rounds[0].items()
    }


def ratios(sides: Mapping[str, Sequence[float]]) -> list[float]:
    """Ours to bare, round by round; empty where there is no bare side."""
    # Processor time comes in ticks: a short round may show none.
    return [o / b for o, b in zip(sides["ours"], sides.get("bare", ()), strict=False) if b]


def table(title: str, figures: Mapping[str, Mapping[str, Sequence[float]]]) -> Table:
    """Medians with the least and the greatest of the rounds."""
    made = Table("Figure", title=title, title_justify="left", title_style="bold")
    for head in ("ours", "bare", "ratio", "target"):
        made.add_column(head, justify="right")
    for name, sides in figures.items():
        of_rounds = ratios(sides)
        made.add_row(
            name,
            spread(sides["ours"]),
            spread(sides["bare"]) if "bare" in sides else "",
            spread(of_rounds, 2) if of_rounds else "",
            TARGETS.get(name, ""),
        )
    return made


def spread(values: Sequence[float], digits: int = 1) -> str:
    """`median (least–greatest)`."""
    least, middle, greatest = (f"{f(values):.{digits}f}" for f in (min, median, max))
    return f"{middle} ({least}–{greatest})"


def show(result: Mapping[str, Any], console: Console) -> None:
    """Print everything that was measured."""
    for name, variant in result["variants"].items():
        console.print(table(f"\n{name}", variant["figures"]))
        if variant["costs"]:
            _show_pairs("What one payment leaves behind", variant["costs"], console)
        _show_pairs("Resident memory, MiB", variant["memory"], console)
    for level in result["growth"]:
        console.print(table(f"\n{level['open_payments']} open payments", level["figures"]))
        _show_pairs("Resident memory, MiB", level["memory"], console)


def write(result: Mapping[str, Any], folder: Path, name: str) -> Path:
    """Keep it as JSON; the file's path."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.json"
    file.write_text(json.dumps(result, indent=1) + "\n")
    return file


def _show_pairs(title: str, pairs: Mapping[str, float], console: Console) -> None:
    made = Table(title, "", show_header=True)
    for name, value in pairs.items():
        made.add_row(name, f"{value:.0f}")
    console.print(made)
