"""Plot the newest results, or the given files (`python -m devtools.bench.plot [FILE...]`)."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from devtools.bench import report

RESULTS = Path(__file__).with_name("results")
PICTURES = Path("build")

_TARGET, _OURS, _BARE = "#b03030", "#2f6f9f", "#9a9a9a"


def draw(result: Mapping[str, Any], file: Path) -> Path:
    """Plot ratios to the baseline by variant, or figures over the number of open payments."""
    mpl.use("Agg")
    figure = (
        _plot_growth(result["growth"]) if result["growth"] else _plot_variants(result["variants"])
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)
    return file


def _plot_variants(variants: Mapping[str, Any]) -> Figure:
    figure = Figure(figsize=(4.2 * len(variants) + 4, 8), layout="constrained")
    axes = figure.subplots(1, len(variants), sharey=True, squeeze=False)[0]
    for ax, (name, variant) in zip(axes, variants.items(), strict=True):
        _plot_ratios(ax, variant["figures"])
        ax.set_title(name)
    figure.suptitle("Integrator relative to the baseline (1 = equal)")
    return figure


def _plot_ratios(ax: Axes, figures: Mapping[str, Mapping[str, list[float]]]) -> None:
    ratios = {name: report.ratios(sides) for name, sides in reversed(list(figures.items()))}
    ratios = {name: values for name, values in ratios.items() if values}
    for row, (name, values) in enumerate(ratios.items()):
        middle = median(values)
        errors = [[middle - min(values)], [max(values) - middle]]
        ax.errorbar(middle, row, xerr=errors, fmt="o", color=_OURS, capsize=3)
        ax.annotate(f"{middle:.2f}", (middle, row), (0, 7), textcoords="offset points", fontsize=8)
        if name in report.TARGETS:
            ax.plot(float(report.TARGETS[name].split()[1]), row, "|", color=_TARGET, ms=16, mew=2)
    ax.axvline(1, color=_BARE, lw=1)
    ax.set_yticks(range(len(ratios)), [name.removesuffix(", ms") for name in ratios])
    ax.set_xscale("log", base=2)
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.grid(axis="x", color="#e5e5e5")
    ax.set_xlabel("ratio; | is the target")


def _plot_growth(levels: list[Mapping[str, Any]]) -> Figure:
    names = [name for name in levels[0]["figures"] if "p50" in name or "per second" in name]
    figure = Figure(figsize=(15, 3.2 * -(-(len(names) + 1) // 3)), layout="constrained")
    axes = figure.subplots(-(-(len(names) + 1) // 3), 3, squeeze=False).flatten()
    counts = [level["open_payments"] for level in levels]
    for ax, name in zip(axes, names, strict=False):
        for side, color in (("ours", _OURS), ("bare", _BARE)):
            values = [median(level["figures"][name][side]) for level in levels]
            ax.plot(counts, values, "o-", color=color, label=side)
        ax.set_title(name, fontsize=10)
    for name in levels[0]["memory"]:
        axes[len(names)].plot(counts, [level["memory"][name] for level in levels], "o-", label=name)
    axes[len(names)].set_title("resident memory, MiB", fontsize=10)
    for ax in axes[len(names) + 1 :]:
        ax.set_axis_off()
    for ax in axes[: len(names) + 1]:
        ax.set_ylim(bottom=0)
        ax.set_xlabel("open payments", fontsize=8)
        ax.legend(fontsize=8)
    return figure


def main() -> None:
    """Write the pictures to `build/`."""
    files = [Path(word) for word in sys.argv[1:]]
    newest = [max(RESULTS.glob(f"{kind}-*.json"), default=None) for kind in ("engine", "growth")]
    for file in files or filter(None, newest):
        drawn = draw(json.loads(file.read_text()), PICTURES / f"{file.stem}.png")
        sys.stdout.write(f"{drawn}\n")


if __name__ == "__main__":
    main()
