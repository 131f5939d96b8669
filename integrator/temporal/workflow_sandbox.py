"""The workflow sandbox, without unnecessary work per run and payload."""

from collections.abc import Sequence
from typing import Any

from temporalio import workflow
from temporalio.converter import StorageDriverStoreContext
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from integrator.temporal.message_guard import MessageGuard

PASSTHROUGH_MODULES = (
    "workflows.activity_plans",  # constants and type names only
    "integrator.contract",  # models and enums, no state
    "integrator.psp",  # only its value types are imported by workflows
    "integrator.sealing",  # constants and predicates
    "workflows",  # no I/O, no state outside its instances; its tests run it sandboxed
)
"""Pure modules: importing them again for every workflow run takes a third of the worker's time,
most of it for the workflow definitions."""


def runner(passed_through: Sequence[str] = PASSTHROUGH_MODULES) -> SandboxedWorkflowRunner:
    """Create the sandboxed runner with the modules to pass through."""
    restrictions = SandboxRestrictions.default.with_passthrough_modules(*passed_through)
    return _SandboxRunner(restrictions=restrictions)


class _SandboxRunner(SandboxedWorkflowRunner):
    """Runner that does not enter the sandbox to get a serialization context for each payload.

    The context is for converters, codecs and stores that depend on it. Ours does not, and getting
    it took a sixth of the worker's time.
    """

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        guard = MessageGuard(det.defn, det.payload_converter_factory(), det.info)
        return _SandboxInstance(super().create_instance(det), guard)


class _SandboxInstance(WorkflowInstance):
    """Sandboxed workflow behind a guard, whose payloads have no serialization context."""

    def __init__(self, sandboxed: WorkflowInstance, guard: MessageGuard) -> None:
        self._sandboxed = sandboxed
        self._guard = guard

    def activate(self, act: Any) -> Any:
        self._guard.screen(act)
        return self._sandboxed.activate(act)

    def get_serialization_context(self, command_info: Any) -> None:
        return None

    def get_external_store_context(self, command_info: Any) -> StorageDriverStoreContext:
        return StorageDriverStoreContext(target=None)

    def get_info(self) -> workflow.Info:
        return self._sandboxed.get_info()

    def get_thread_id(self) -> int | None:
        return self._sandboxed.get_thread_id()
