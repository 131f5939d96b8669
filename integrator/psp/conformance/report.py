"""The summary table at the end of a run."""

from collections import Counter
from collections.abc import Iterator, Mapping

from integrator.psp.conformance.checks import AREAS

OUTCOMES = ("passed", "failed", "skipped")


def summary_lines(counts: Mapping[tuple[str, str], int], reasons: Counter[str]) -> Iterator[str]:
    """Yield, per area, the counts of each result, then the totals and the reasons for skipping."""
    yield f"{'area':<14}{'passed':>8}{'failed':>8}{'skipped':>9}"
    for area in AREAS:
        row_counts = [counts.get((area, outcome), 0) for outcome in OUTCOMES]
        if any(row_counts):
            yield _row(area, row_counts)
    totals = [
        sum(count for (_, counted), count in counts.items() if counted == outcome)
        for outcome in OUTCOMES
    ]
    yield _row("all", totals)
    yield f"{totals[0] + totals[1]} checks were run, {totals[0]} passed, {totals[2]} were skipped"
    for reason, count in reasons.most_common():
        yield f"  skipped {count:>3}: {reason}"


def _row(name: str, row_counts: list[int]) -> str:
    passed, failed, skipped = row_counts
    return f"{name:<14}{passed:>8}{failed:>8}{skipped:>9}"
