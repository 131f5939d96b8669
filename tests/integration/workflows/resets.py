"""Resets of a transaction's workflow, as an operator makes them with `temporal workflow reset`."""

from typing import Any
from uuid import uuid4

from temporalio.api.common.v1 import WorkflowExecution
from temporalio.api.enums.v1 import EventType, ResetReapplyExcludeType
from temporalio.api.workflowservice.v1 import ResetWorkflowExecutionRequest
from temporalio.client import WorkflowHandle

from tests.integration.workflows.conftest import WorkflowHarness
from workflows.state import TransactionKind

EXCLUDE_ALL = (
    ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL,
    ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_UPDATE,
)
FIRST, LAST = 0, -1


async def reset(
    harness: WorkflowHarness, kind: TransactionKind, task: int = FIRST, *, reapply: bool = True
) -> WorkflowHandle[Any, Any]:
    """Reset the workflow to the end of one of its tasks; return a handle of the new run.

    With `reapply` the messages that came later are applied again, as by default.
    """
    client = harness.env.client
    handle = harness.handle(kind)
    completed = [
        event.event_id
        async for event in handle.fetch_history_events()
        if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
    ]
    reply = await client.workflow_service.reset_workflow_execution(
        ResetWorkflowExecutionRequest(
            namespace=client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=handle.id),
            reason="test",
            workflow_task_finish_event_id=completed[task],
            request_id=uuid4().hex,
            reset_reapply_exclude_types=[] if reapply else EXCLUDE_ALL,
        )
    )
    return client.get_workflow_handle(handle.id, run_id=reply.run_id)
