"""Branch coverage of the workflows by the stored histories: `python -m tests.replay.coverage`.

A branch that no history takes may be changed without any replay failing. So each branch is covered
or listed in `UNREACHED` with the reason why no history can take it.
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

from tests.support.paths import ROOT

MODULES = (
    "transaction_workflow",
    "preauth",
    "payment",
    "refund",
    "reconcile",
    "transaction_context",
    "reservation_client",
    "psp_operation",
    "psp_retry",
    "activity_errors",
    "lookup",
    "lookup_schedule",
    "notification_reader",
    "preauth_void",
    "deadlines",
    "deadline_timer",
    "timeouts",
    "snapshot_recorder",
    "stored_state",
    "change_notifier",
    "temporal_ui",
    "search_attributes",
)
"""The modules that issue commands; the pure state is tested without replay."""

_NEVER_CANCELLED = "only the main loop is ever cancelled; its tasks are cancelled while idle"
_NO_QUERIES = "queries leave no trace in a history"
_STOP = 'raise RuntimeError(f"Unexpected failure: {error}") from error'
_OUTSIDE = "called only by code that starts or finds workflows"

_INITIAL_ATTRIBUTES = (
    "search_attributes initial_attributes: "
    "values = attribute_values(start, None, WebhookState.NONE)",
    "search_attributes initial_attributes: "
    "return TypedSearchAttributes([SearchAttributePair(key, values[key]) for key in values])",
)

UNREACHED = {
    "change_notifier ChangeNotifier._deliver: raise": _NEVER_CANCELLED,
    "notification_reader NotificationReader._read: raise": _NEVER_CANCELLED,
    "lookup Lookup._ask: raise": _NEVER_CANCELLED,
    "snapshot_recorder SnapshotRecorder._write: raise": _NEVER_CANCELLED,
    "transaction_workflow TransactionWorkflow.current_state: "
    "return self._context.state": _NO_QUERIES,
    "transaction_workflow TransactionWorkflow.delivery: return self._context.delivery": _NO_QUERIES,
    f"transaction_workflow TransactionWorkflow._run: {_STOP}": (
        "it fails the workflow task, so the history does not go on"
    ),
    "psp_operation PspOperation._fold_reply: elif reply.outcome is not None: -> (leaves)": (
        "only look-ups return no outcome"
    ),
    'reconcile reconcile_workflow_id: return f"{merchant_id}/reconcile"': _OUTSIDE,
    'reconcile schedule_id: return f"reconcile/{merchant_id}"': _OUTSIDE,
    **dict.fromkeys(_INITIAL_ATTRIBUTES, _OUTSIDE),
}
"""Lines and branches that are not covered, with the reason why no history can take them."""

UNRELIABLE = {"lookup Lookup.run: return None"}
"""Covered by payment-looked-up-by-id, which not every version of the tracer detects."""


@dataclass(frozen=True)
class ModuleCoverage:
    """Coverage of one module; `uncovered` describes the lines and branches not covered."""

    name: str
    statements: int
    branches: int
    uncovered: tuple[str, ...]

    @property
    def unexplained(self) -> list[str]:
        """Return what is neither covered nor explained."""
        return [item for item in self.uncovered if item not in UNREACHED.keys() | UNRELIABLE]


async def replay_all() -> None:
    """Replay all histories without the sandbox and in one thread.

    The sandbox would import the workflows again, unmeasured; the tracer loses lines of coroutines
    that continue in another thread.
    """
    from temporalio.worker import UnsandboxedWorkflowRunner

    from tests.replay.corpus import create_replayer, load_histories

    with ThreadPoolExecutor(1) as thread:
        replayer = create_replayer(UnsandboxedWorkflowRunner(), thread)
        for history in load_histories():
            await replayer.replay_workflow(history)


def measure() -> dict[str, Any]:
    """Return coverage.py's report; raises RuntimeError if the workflows are imported already."""
    loaded = sorted(name for name in sys.modules if name.partition(".")[0] == "workflows")
    if loaded:
        raise RuntimeError(f"Modules were imported before the measurement: {', '.join(loaded)}.")
    files = [str(ROOT / "workflows" / f"{name}.py") for name in MODULES]
    tracer = coverage.Coverage(branch=True, include=files, data_file=None, config_file=False)
    with tracer.collect():
        asyncio.run(replay_all())
    with tempfile.NamedTemporaryFile() as file:
        tracer.json_report(outfile=file.name)
        report: dict[str, Any] = json.load(file)
    return report


def find_uncovered(name: str, report: dict[str, Any]) -> Iterator[str]:
    """Yield `module function: line` or `...: line -> target`, without the changing line numbers."""
    lines = ["", *(ROOT / "workflows" / f"{name}.py").read_text().splitlines()]

    def text(number: int) -> str:
        return lines[number].strip() if number > 0 else "(leaves)"

    for function, part in report["functions"].items():
        missing = set(part["missing_lines"])
        place = f"{name} {function}".strip()
        for number in sorted(missing):
            yield f"{place}: {text(number)}"
        for origin, target in part["missing_branches"]:
            if origin not in missing and target not in missing:
                yield f"{place}: {text(origin)} -> {text(target)}"


def measure_modules() -> list[ModuleCoverage]:
    """Replay all histories and return the coverage by module."""
    report = measure()["files"]
    by_module = {Path(path).stem: part for path, part in report.items()}
    return [
        ModuleCoverage(
            name,
            by_module[name]["summary"]["num_statements"],
            by_module[name]["summary"]["num_branches"],
            tuple(find_uncovered(name, by_module[name])),
        )
        for name in MODULES
    ]


def build_table(modules: list[ModuleCoverage]) -> Table:
    """Build the table of results."""
    table = Table("module", "statements", "branches", "not covered", "of these explained")
    for module in modules:
        counts = (module.statements, module.branches, len(module.uncovered))
        explained = len(module.uncovered) - len(module.unexplained)
        table.add_row(module.name, *map(str, counts), str(explained))
    return table


def main() -> int:
    """Print the results; return 1 if anything is unexplained or listed without need."""
    console = Console(width=150, highlight=False)
    modules = measure_modules()
    console.print(build_table(modules))
    unexplained = [item for module in modules for item in module.unexplained]
    for item in unexplained:
        console.print(f"not covered by any history: {item}", markup=False)
    obsolete = UNREACHED.keys() - {item for module in modules for item in module.uncovered}
    for item in sorted(obsolete):
        console.print(f"in UNREACHED, but covered or gone: {item}", markup=False)
    return 1 if unexplained or obsolete else 0


if __name__ == "__main__":
    sys.exit(main())
