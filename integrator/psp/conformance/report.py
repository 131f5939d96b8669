"""The table at the end of a run."""

from collections import Counter
from collections.abc import Iterator, Mapping

from integrator.psp.conformance.checks import AREAS

OUTCOMES = ("passed", "failed", "skipped")


def table(counts: Mapping[tuple[str, str], int], reasons: Counter[str]) -> Iterator[str]:
    """Lines: per area what passed, failed and was skipped, the sums, and why anything was."""
    yield f"{'area':<14}{'passed':>8}{'failed':>8}{'skipped':>9}"
    for area in AREAS:
        numbers = [counts.get((area, outcome), 0) for outcome in OUTCOMES]
        if any(numbers):
            yield _row(area, numbers)
    sums = [
        sum(count for (_, found), count in counts.items() if found == outcome)
        for outcome in OUTCOMES
    ]
    yield _row("all", sums)
    yield f"{sums[0] + sums[1]} checks were run, {sums[0]} passed, {sums[2]} were skipped"
    for reason, count in reasons.most_common():
        yield f"  skipped {count:>3}: {reason}"


def _row(name: str, numbers: list[int]) -> str:
    passed, failed, skipped = numbers
    return f"{name:<14}{passed:>8}{failed:>8}{skipped:>9}"
