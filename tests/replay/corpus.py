"""The stored histories and what replays them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer, WorkflowRunner

from worker import WORKFLOWS
from workflows.reconcile import ReconcileWorkflow

FOLDER = Path(__file__).parent / "histories"


def every_path() -> list[Path]:
    """The files, by name."""
    return sorted(FOLDER.glob("*.json"))


def history(path: Path) -> WorkflowHistory:
    """What one file holds; its name stands for the workflow's id."""
    return WorkflowHistory.from_json(path.stem, path.read_text())


def every_history() -> Iterator[WorkflowHistory]:
    """All of them, by name."""
    return map(history, every_path())


def replayer(runner: WorkflowRunner, threads: ThreadPoolExecutor | None = None) -> Replayer:
    """Every workflow, replayed by `runner`; in the SDK's own threads if none are given."""
    return Replayer(
        workflow_task_executor=threads,
        workflows=[*WORKFLOWS, ReconcileWorkflow],
        data_converter=pydantic_data_converter,
        workflow_runner=runner,
    )
