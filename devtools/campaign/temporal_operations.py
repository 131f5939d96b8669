"""Operations of an operator on Temporal: on workflows and activities, and signals."""

import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from google.protobuf.message import Message
from temporalio.api.common.v1 import Payload, Payloads, WorkflowExecution
from temporalio.api.enums.v1 import EventType, ResetReapplyExcludeType
from temporalio.api.failure.v1 import ApplicationFailureInfo, Failure
from temporalio.api.workflowservice.v1 import (
    DeleteWorkflowExecutionRequest,
    PauseActivityRequest,
    ResetActivityRequest,
    ResetWorkflowExecutionRequest,
    RespondActivityTaskCompletedByIdRequest,
    RespondActivityTaskFailedByIdRequest,
    SignalWorkflowExecutionRequest,
    UnpauseActivityRequest,
)
from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.service import RPCError

IDENTITY = "campaign operator"

REAPPLY_NOTHING = (
    ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_SIGNAL,
    ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_UPDATE,
    ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_NEXUS,
    ResetReapplyExcludeType.RESET_REAPPLY_EXCLUDE_TYPE_CANCEL_REQUEST,
)
"""What `temporal workflow reset --reapply-exclude All` excludes."""


@dataclass(frozen=True)
class PendingActivity:
    """Activity of a workflow that has not ended; `attempt` is the number of the current attempt."""

    workflow_id: str
    run_id: str
    id: str
    name: str
    attempt: int


class TemporalOperations:
    """Calls of the Temporal server; each returns False if the server refuses or is unavailable."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def reset(
        self,
        workflow_id: str,
        position: float,
        exclude: Sequence[ResetReapplyExcludeType.ValueType],
    ) -> bool:
        """Reset to a completed workflow task: `position` 0 is the first one, 1 the last one."""
        try:
            history = await self._client.get_workflow_handle(workflow_id).fetch_history()
        except RPCError:
            return False
        completed = [
            event.event_id
            for event in history.events
            if event.event_type == EventType.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
        ]
        if not completed:
            return False
        request = ResetWorkflowExecutionRequest(
            namespace=self._client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=workflow_id),
            reason=IDENTITY,
            request_id=str(uuid.uuid4()),
            workflow_task_finish_event_id=completed[round(position * (len(completed) - 1))],
            reset_reapply_exclude_types=exclude,
            identity=IDENTITY,
        )
        return await _accepted(self._client.workflow_service.reset_workflow_execution, request)

    async def terminate(self, workflow_id: str) -> bool:
        """Terminate a running workflow."""
        try:
            await self._client.get_workflow_handle(workflow_id).terminate(reason=IDENTITY)
        except RPCError:
            return False
        return True

    async def cancel(self, workflow_id: str) -> bool:
        """Request the cancellation of a running workflow."""
        try:
            await self._client.get_workflow_handle(workflow_id).cancel()
        except RPCError:
            return False
        return True

    async def delete(self, workflow_id: str) -> bool:
        """Delete a workflow with its history."""
        request = DeleteWorkflowExecutionRequest(
            namespace=self._client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=workflow_id),
        )
        return await _accepted(self._client.workflow_service.delete_workflow_execution, request)

    async def signal(self, workflow_id: str, name: str, payloads: Sequence[Payload]) -> bool:
        """Signal a workflow with these payloads as they are, encrypted or not."""
        request = SignalWorkflowExecutionRequest(
            namespace=self._client.namespace,
            workflow_execution=WorkflowExecution(workflow_id=workflow_id),
            signal_name=name,
            input=Payloads(payloads=payloads) if payloads else None,
            identity=IDENTITY,
            request_id=str(uuid.uuid4()),
        )
        return await _accepted(self._client.workflow_service.signal_workflow_execution, request)

    async def pending_activities(self, workflow_id: str) -> list[PendingActivity]:
        """Return the pending activities of a running workflow."""
        try:
            description = await self._client.get_workflow_handle(workflow_id).describe()
        except RPCError:
            return []
        if description.status is not WorkflowExecutionStatus.RUNNING:
            return []
        return [
            PendingActivity(
                workflow_id,
                description.run_id,
                activity.activity_id,
                activity.activity_type.name,
                activity.attempt,
            )
            for activity in description.raw_description.pending_activities
        ]

    async def reset_activity(self, activity: PendingActivity) -> bool:
        """Start an activity again, with the attempt number 1."""
        request = ResetActivityRequest(
            namespace=self._client.namespace,
            execution=_execution(activity),
            identity=IDENTITY,
            id=activity.id,
        )
        return await _accepted(self._client.workflow_service.reset_activity, request)

    async def pause_activity(self, activity: PendingActivity) -> bool:
        """Hold the next attempt of an activity."""
        request = PauseActivityRequest(
            namespace=self._client.namespace,
            execution=_execution(activity),
            identity=IDENTITY,
            id=activity.id,
        )
        return await _accepted(self._client.workflow_service.pause_activity, request)

    async def unpause_activity(self, activity: PendingActivity) -> bool:
        """Let a held activity go on."""
        request = UnpauseActivityRequest(
            namespace=self._client.namespace,
            execution=_execution(activity),
            identity=IDENTITY,
            id=activity.id,
        )
        return await _accepted(self._client.workflow_service.unpause_activity, request)

    async def complete_activity(self, activity: PendingActivity, result: Payload) -> bool:
        """End an activity with this result."""
        request = RespondActivityTaskCompletedByIdRequest(
            namespace=self._client.namespace,
            workflow_id=activity.workflow_id,
            run_id=activity.run_id,
            activity_id=activity.id,
            result=Payloads(payloads=[result]),
            identity=IDENTITY,
        )
        service = self._client.workflow_service
        return await _accepted(service.respond_activity_task_completed_by_id, request)

    async def fail_activity(self, activity: PendingActivity) -> bool:
        """End an activity with a failure that is not retried."""
        request = RespondActivityTaskFailedByIdRequest(
            namespace=self._client.namespace,
            workflow_id=activity.workflow_id,
            run_id=activity.run_id,
            activity_id=activity.id,
            failure=Failure(
                message="Operation failed.",
                source="CLI",
                application_failure_info=ApplicationFailureInfo(non_retryable=True),
            ),
            identity=IDENTITY,
        )
        return await _accepted(
            self._client.workflow_service.respond_activity_task_failed_by_id, request
        )


def _execution(activity: PendingActivity) -> WorkflowExecution:
    return WorkflowExecution(workflow_id=activity.workflow_id, run_id=activity.run_id)


async def _accepted(call: Callable[..., Awaitable[Message]], request: Message) -> bool:
    try:
        await call(request)
    except RPCError:
        return False
    return True
