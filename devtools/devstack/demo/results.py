"""The end of the story: what was expected and what came."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from devtools.devstack.demo.context import Outcome


def show(console: Console, outcomes: Sequence[Outcome]) -> bool:
    """Print the table; says whether everything is as expected."""
    table = Table("", "Step", "Expected", "Actual")
    for outcome in outcomes:
        mark, style = ("ok", "green") if outcome.good else ("NOT OK", "bold red")
        table.add_row(Text(mark, style), outcome.step, outcome.expected, outcome.actual)
    console.print()
    console.print(table)
    wrong = sum(not outcome.good for outcome in outcomes)
    console.print(f"{len(outcomes) - wrong} as expected, {wrong} not.", highlight=False)
    return wrong == 0 and bool(outcomes)
