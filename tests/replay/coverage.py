"""Which branches of the workflows the histories go through: `python -m tests.replay.coverage`.

A branch that no history goes through may be changed without any replay failing. So each is covered
or stands in `UNREACHED` with the reason why no history can.
"""

import asyncio
import json
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import coverage
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]
MODULES = (
    "deadline_timer",
    "search_attributes",
    "transaction_handling",
    "temporal_ui",
    "lookup_schedule",
    "snapshot_recorder",
    "change_notifier",
    "transaction_workflow",
    "activity_errors",
    "payment",
    "preauth",
    "reconcile",
    "refund",
    "psp_retry",
    "timeouts",
)
"""What runs in a workflow and orders things; the pure state beside it is tested without replay."""

_NEVER_CANCELLED = "only the main loop is ever cancelled; what runs beside it ends when it rests"
_NO_QUERIES = "queries leave no trace in a history"
_STOP = 'raise RuntimeError(f"Unexpected failure: {error}") from error'
_OUTSIDE = "called by those who start and find the runs"

_AT_START = (
    "search_attributes at_start: given = values(start, None, WebhookState.NONE)",
    "search_attributes at_start: return TypedSearchAttributes([SearchAttributePair(key, given[key]) "
    "for key in given])",
)

UNREACHED = {
    "change_notifier ChangeNotifier._deliver: raise": _NEVER_CANCELLED,
    "transaction_handling TransactionHandling._read: raise": _NEVER_CANCELLED,
    "transaction_handling TransactionHandling._look_up_under: raise": _NEVER_CANCELLED,
    "snapshot_recorder SnapshotRecorder._write: raise": _NEVER_CANCELLED,
    "transaction_workflow TransactionWorkflow.current_state: return self.state": _NO_QUERIES,
    "transaction_workflow TransactionWorkflow.delivery: return self._announcer.delivery": _NO_QUERIES,
    f"transaction_workflow TransactionWorkflow._run: {_STOP}": "stops the run where it is: that leaves no history",
    "transaction_handling TransactionHandling._call: elif reply.outcome is not None: -> (leaves)": (
        "only look-ups are answered without an outcome"
    ),
    'reconcile reconcile_id: return f"{merchant_id}/reconcile"': _OUTSIDE,
    'reconcile schedule_id: return f"reconcile/{merchant_id}"': _OUTSIDE,
    **dict.fromkeys(_AT_START, _OUTSIDE),
}
"""What is not covered, with the reason why no history can."""

UNSEEN = {"transaction_handling TransactionHandling._look_up: return None"}
"""Gone through (by payment-looked-up-by-id), which not every version of the tracer notices."""


@dataclass(frozen=True)
class File:
    """One module: `spots` names what is not covered."""

    name: str
    statements: int
    branches: int
    spots: tuple[str, ...]

    @property
    def unexplained(self) -> list[str]:
        """What is neither covered nor explained."""
        return [spot for spot in self.spots if spot not in UNREACHED.keys() | UNSEEN]


async def replay_everything() -> None:
    """Without the sandbox, which would import the workflows anew where nothing is measured.

    In one thread: the tracer loses lines of coroutines that go on in another one.
    """
    from temporalio.worker import UnsandboxedWorkflowRunner

    from tests.replay.corpus import every_history, replayer

    with ThreadPoolExecutor(1) as thread:
        replaying = replayer(UnsandboxedWorkflowRunner(), thread)
        for history in every_history():
            await replaying.replay_workflow(history)


def measure() -> dict[str, Any]:
    """coverage.py's report; the workflows must not have been imported before."""
    loaded = sorted(name for name in sys.modules if name.partition(".")[0] == "workflows")
    if loaded:
        raise RuntimeError(f"imported before measuring began: {', '.join(loaded)}")
    files = [str(ROOT / "workflows" / f"{name}.py") for name in MODULES]
    measured = coverage.Coverage(branch=True, include=files, data_file=None, config_file=False)
    with measured.collect():
        asyncio.run(replay_everything())
    with tempfile.NamedTemporaryFile() as file:
        measured.json_report(outfile=file.name)
        report: dict[str, Any] = json.load(file)
    return report


def spots(name: str, found: dict[str, Any]) -> Iterator[str]:
    """`module function: line`, or `line -> line it never leads to`; no numbers, which move."""
    lines = ["", *(ROOT / "workflows" / f"{name}.py").read_text().splitlines()]

    def text(number: int) -> str:
        return lines[number].strip() if number > 0 else "(leaves)"

    for function, part in found["functions"].items():
        missing = set(part["missing_lines"])
        place = f"{name} {function}".strip()
        for number in sorted(missing):
            yield f"{place}: {text(number)}"
        for origin, target in part["missing_branches"]:
            if origin not in missing and target not in missing:
                yield f"{place}: {text(origin)} -> {text(target)}"


def files() -> list[File]:
    """Replay everything and see."""
    report = measure()["files"]
    found = {Path(path).stem: part for path, part in report.items()}
    return [
        File(
            name,
            found[name]["summary"]["num_statements"],
            found[name]["summary"]["num_branches"],
            tuple(spots(name, found[name])),
        )
        for name in MODULES
    ]


def table(found: list[File]) -> Table:
    shown = Table("module", "statements", "branches", "not covered", "of these explained")
    for file in found:
        counts = (file.statements, file.branches, len(file.spots))
        explained = len(file.spots) - len(file.unexplained)
        shown.add_row(file.name, *map(str, counts), str(explained))
    return shown


def main() -> int:
    """Print the table and what is missing; 1 if anything is."""
    console = Console(width=150, highlight=False)
    found = files()
    console.print(table(found))
    unexplained = [spot for file in found for spot in file.unexplained]
    for spot in unexplained:
        console.print(f"no history goes through  {spot}", markup=False)
    gone = UNREACHED.keys() - {spot for file in found for spot in file.spots}
    for spot in sorted(gone):
        console.print(f"said to be out of reach, and is not  {spot}", markup=False)
    return 1 if unexplained or gone else 0


if __name__ == "__main__":
    sys.exit(main())
