"""Stored histories and the replayer."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer, WorkflowRunner

from worker import WORKFLOWS
from workflows.reconcile import ReconcileWorkflow

HISTORIES = Path(__file__).parent / "histories"


def history_paths() -> list[Path]:
    """Return the history files, sorted by name."""
    return sorted(HISTORIES.glob("*.json"))


def load_history(path: Path) -> WorkflowHistory:
    """Load a history; the file name is used as the workflow's id."""
    return WorkflowHistory.from_json(path.stem, path.read_text())


def load_histories() -> Iterator[WorkflowHistory]:
    """Yield all histories, sorted by name."""
    return map(load_history, history_paths())


def create_replayer(runner: WorkflowRunner, threads: ThreadPoolExecutor | None = None) -> Replayer:
    """Create a replayer of all workflows with `runner`, in the SDK's own threads by default."""
    return Replayer(
        workflow_task_executor=threads,
        workflows=[*WORKFLOWS, ReconcileWorkflow],
        data_converter=pydantic_data_converter,
        workflow_runner=runner,
    )
