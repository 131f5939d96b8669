"""Stored histories and the replayer."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from temporalio import workflow
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.converter import StorageDriverStoreContext
from temporalio.worker import Replayer, WorkflowInstance, WorkflowInstanceDetails, WorkflowRunner

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


class FailureRecorder(WorkflowRunner):
    """Runner that records why workflow tasks fail: the replayer raises for other commands only."""

    def __init__(self, runner: WorkflowRunner) -> None:
        self.failures: list[str] = []
        self._runner = runner

    def prepare_workflow(self, defn: workflow._Definition) -> None:
        self._runner.prepare_workflow(defn)

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        return _RecordedInstance(self._runner.create_instance(det), self.failures)

    def set_worker_level_failure_exception_types(
        self, types: Sequence[type[BaseException]]
    ) -> None:
        self._runner.set_worker_level_failure_exception_types(types)


class _RecordedInstance(WorkflowInstance):
    def __init__(self, instance: WorkflowInstance, failures: list[str]) -> None:
        self._instance = instance
        self._failures = failures

    def activate(self, act: Any) -> Any:
        completion = self._instance.activate(act)
        if completion.HasField("failed"):
            self._failures.append(completion.failed.failure.message)
        return completion

    def get_serialization_context(self, command_info: Any) -> Any:
        return self._instance.get_serialization_context(command_info)

    def get_external_store_context(self, command_info: Any) -> StorageDriverStoreContext:
        return self._instance.get_external_store_context(command_info)

    def get_info(self) -> workflow.Info:
        return self._instance.get_info()

    def get_thread_id(self) -> int | None:
        return self._instance.get_thread_id()
