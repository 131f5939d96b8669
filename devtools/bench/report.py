"""Tables and results files."""

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
"""Target ratios of the integrator to the baseline."""


def collect_figures(rounds: Sequence[Figures]) -> dict[str, dict[str, list[float]]]:
    """Return the values of all rounds by figure and side."""
    return {
        name: {side: [figures[name][side] for figures in rounds] for side in sides}
        for name, sides in rounds[0].items()
    }


def ratios(sides: Mapping[str, Sequence[float]]) -> list[float]:
    """Return the ratio of ours to bare for each round; empty without a bare side."""
    # Processor time is counted in ticks: in a short round it may be 0.
    return [o / b for o, b in zip(sides["ours"], sides.get("bare", ()), strict=False) if b]


def build_table(title: str, figures: Mapping[str, Mapping[str, Sequence[float]]]) -> Table:
    """Return a table of medians with minimum and maximum of the rounds."""
    result = Table("Figure", title=title, title_justify="left", title_style="bold")
    for heading in ("ours", "bare", "ratio", "target"):
        result.add_column(heading, justify="right")
    for name, sides in figures.items():
        round_ratios = ratios(sides)
        result.add_row(
            name,
            format_spread(sides["ours"]),
            format_spread(sides["bare"]) if "bare" in sides else "",
            format_spread(round_ratios, 2) if round_ratios else "",
            TARGETS.get(name, ""),
        )
    return result


def format_spread(values: Sequence[float], digits: int = 1) -> str:
    """Return `median (minimum–maximum)`."""
    least, middle, greatest = (f"{f(values):.{digits}f}" for f in (min, median, max))
    return f"{middle} ({least}–{greatest})"


def print_report(result: Mapping[str, Any], console: Console) -> None:
    """Print all results."""
    for name, variant in result["variants"].items():
        console.print(build_table(f"\n{name}", variant["figures"]))
        if variant["costs"]:
            _print_pairs("Footprint of one payment", variant["costs"], console)
        _print_pairs("Resident memory, MiB", variant["memory"], console)
    for level in result["growth"]:
        console.print(build_table(f"\n{level['open_payments']} open payments", level["figures"]))
        _print_pairs("Resident memory, MiB", level["memory"], console)


def write_results(result: Mapping[str, Any], folder: Path, name: str) -> Path:
    """Write the result as JSON; return the file's path."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name}.json"
    file.write_text(json.dumps(result, indent=1) + "\n")
    return file


def _print_pairs(title: str, pairs: Mapping[str, float], console: Console) -> None:
    table = Table(title, "", show_header=True)
    for name, value in pairs.items():
        table.add_row(name, f"{value:.0f}")
    console.print(table)
