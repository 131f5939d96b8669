"""Table of expected and actual results."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from devtools.devstack.demo.context import StepResult


def print_results(console: Console, results: Sequence[StepResult]) -> bool:
    """Print the table; return whether every result is as expected."""
    table = Table("", "Step", "Expected", "Actual")
    for result in results:
        mark, style = ("ok", "green") if result.passed else ("NOT OK", "bold red")
        table.add_row(Text(mark, style), result.step, result.expected, result.actual)
    console.print()
    console.print(table)
    failed = sum(not outcome.passed for outcome in results)
    console.print(f"{len(results) - failed} as expected, {failed} not.", highlight=False)
    return failed == 0 and bool(results)
