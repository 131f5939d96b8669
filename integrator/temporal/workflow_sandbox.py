"""The sandbox that workflows run in, without what it would do for nothing."""

from collections.abc import Sequence
from typing import Any

from temporalio import workflow
from temporalio.converter import StorageDriverStoreContext
from temporalio.worker import WorkflowInstance, WorkflowInstanceDetails
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

PASSED_THROUGH = (
    "workflows.activity_plans",  # constants and type names only
    "integrator.contract",  # models and enums, no state
    "integrator.psp",  # only its value types are imported by workflows
    "workflows",  # without I/O and without state outside its instances; its tests run it confined
)
"""Our own pure modules: importing them anew for every workflow run costs a third of the worker's
time, most of it for the definitions of the workflows themselves."""


def runner(passed_through: Sequence[str] = PASSED_THROUGH) -> SandboxedWorkflowRunner:
    """The workflow sandbox, without re-importing what is pure."""
    restrictions = SandboxRestrictions.default.with_passthrough_modules(*passed_through)
    return _Runner(restrictions=restrictions)


class _Runner(SandboxedWorkflowRunner):
    """Does not enter the sandbox for each payload to ask what the payload is about.

    The answer is for converters, codecs and stores that treat payloads by what they are about.
    Ours treats all alike, and asking was a sixth of the worker's time.
    """

    def create_instance(self, det: WorkflowInstanceDetails) -> WorkflowInstance:
        return _Instance(super().create_instance(det))


class _Instance(WorkflowInstance):
    """A confined workflow whose payloads are about nothing in particular."""

    def __init__(self, confined: WorkflowInstance) -> None:
        self._confined = confined

    def activate(self, act: Any) -> Any:
        return self._confined.activate(act)

    def get_serialization_context(self, command_info: Any) -> None:
        return None

    def get_external_store_context(self, command_info: Any) -> StorageDriverStoreContext:
        return StorageDriverStoreContext(target=None)

    def get_info(self) -> workflow.Info:
        return self._confined.get_info()

    def get_thread_id(self) -> int | None:
        return self._confined.get_thread_id()
