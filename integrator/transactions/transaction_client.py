"""Client of the transactions' workflows, for the API, activities, jobs and operators.

Workflow ids, message names and id policies are used here only.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from pydantic import BaseModel
from temporalio.api.workflowservice.v1 import (
    DescribeWorkflowExecutionRequest,
    DescribeWorkflowExecutionResponse,
)
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from workflows import search_attributes
from workflows.messages import (
    CALLER_DETACHED,
    CANCEL,
    CLOSE_RESERVATION,
    CREATE,
    DELIVERY,
    FINALIZE,
    LOOK_UP,
    NOTIFY,
    RECORD_EXTERNAL_MOVEMENT,
    REDELIVER,
    RESERVE,
    RESOLVE,
    STATE,
    WORKFLOW_NAMES,
    AnyInput,
    CancelReply,
    Delivery,
    LookUpSignal,
    NotificationSignal,
    PaymentInput,
    PreauthInput,
    ReservationResult,
    ReserveReply,
    ReserveRequest,
    ResolveReply,
    kind_of,
    workflow_id,
)
from workflows.state import (
    AnyState,
    Decision,
    ExternalMovement,
    PaymentState,
    PreauthState,
    RefundState,
    TransactionKind,
)
from workflows.timeline import summarize_input

STATE_TYPES: dict[TransactionKind, type[AnyState]] = {
    TransactionKind.PREAUTH: PreauthState,
    TransactionKind.PAYMENT: PaymentState,
    TransactionKind.REFUND: RefundState,
}
OUTAGE = (RPCStatusCode.UNAVAILABLE, RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED)
"""Statuses of a failed call that say nothing about the transaction: all others fail, too."""

log = logging.getLogger(__name__)
Reply = TypeVar("Reply", bound=BaseModel)
Refresh = Callable[[AnyInput], Awaitable[AnyInput]]


@dataclass(frozen=True)
class WorkflowCondition:
    """Whether a workflow runs, and the attempts of its pending task (0 if none is pending)."""

    running: bool
    task_attempts: int


class AttributesUnknown(RuntimeError):
    """The namespace lacks the search attributes: no workflow can be started in it."""


class TransactionClient:
    """Starts, queries, signals and updates transactions' workflows on one task queue.

    Every method may raise `RPCError` or `RuntimeError` (Temporal unavailable, or not prepared:
    `AttributesUnknown`) and the SDK's `WorkflowUpdateRPCTimeoutOrCancelledError` (no worker
    responded in time).
    """

    def __init__(self, client: Client, task_queue: str, refresh: Refresh) -> None:
        """Create the client; `refresh` updates the state to resume from with the store's."""
        self._client = client
        self._task_queue = task_queue
        self._refresh = refresh

    async def create(self, start: AnyInput) -> AnyState:
        """Start the transaction and wait for its first outcome.

        The update id is constant: repeats of the same request join the first one.
        """
        kind = kind_of(start)
        return await self._update_with_start(
            start, WorkflowIDReusePolicy.REJECT_DUPLICATE, CREATE, None, STATE_TYPES[kind], CREATE
        )

    async def ensure_started(self, start: AnyInput, *, replace_failed: bool = False) -> bool:
        """Start the transaction's workflow if there is none; return whether it was started.

        It waits for its `create`. `replace_failed` also replaces one that did not complete.
        """
        reuse = WorkflowIDReusePolicy.REJECT_DUPLICATE
        if replace_failed:
            reuse = WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY
        try:
            with _report_missing_attributes():
                await self._client.start_workflow(
                    WORKFLOW_NAMES[kind_of(start)],
                    start,
                    id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                    id_reuse_policy=reuse,
                    **self._options(start),
                )
        except WorkflowAlreadyStartedError:
            return False
        return True

    async def closed_status(self, start: AnyInput) -> WorkflowExecutionStatus | None:
        """Return how the transaction's workflow has closed; None while it is open."""
        description = await self._describe(start.merchant_id, kind_of(start), start.transaction_id)
        info = description.workflow_execution_info
        return WorkflowExecutionStatus(info.status) if info.HasField("close_time") else None

    async def describe(
        self, merchant_id: str, kind: TransactionKind, transaction_id: str
    ) -> WorkflowCondition:
        """Return the condition of the transaction's workflow, also without a worker."""
        description = await self._describe(merchant_id, kind, transaction_id)
        return WorkflowCondition(
            running=not description.workflow_execution_info.HasField("close_time"),
            task_attempts=description.pending_workflow_task.attempt,
        )

    async def state(
        self, merchant_id: str, kind: TransactionKind, transaction_id: str, timeout: timedelta
    ) -> AnyState:
        """Query the workflow's state."""
        handle = self._handle(merchant_id, kind, transaction_id)
        with _report_paused_workflow():
            state: AnyState = await handle.query(
                STATE, result_type=STATE_TYPES[kind], rpc_timeout=timeout
            )
        return state

    async def delivery(
        self, merchant_id: str, kind: TransactionKind, transaction_id: str, timeout: timedelta
    ) -> Delivery:
        """Query the delivery state of the transaction's change notifications."""
        handle = self._handle(merchant_id, kind, transaction_id)
        with _report_paused_workflow():
            delivery: Delivery = await handle.query(
                DELIVERY, result_type=Delivery, rpc_timeout=timeout
            )
        return delivery

    async def caller_detached(
        self, merchant_id: str, kind: TransactionKind, transaction_id: str
    ) -> None:
        """Signal the workflow that its caller got a Pending response."""
        await self._handle(merchant_id, kind, transaction_id).signal(CALLER_DETACHED)

    async def finalize(self, start: PreauthInput) -> PreauthState:
        """Have the workflow look up the result of a redirect."""
        return await self._update(start, FINALIZE, None, PreauthState)

    async def cancel(self, start: PreauthInput) -> CancelReply:
        """Cancel the preauth."""
        return await self._update(start, CANCEL, None, CancelReply)

    async def reserve(
        self, start: PreauthInput | PaymentInput, request: ReserveRequest
    ) -> ReserveReply:
        """Reserve money of a preauth or a payment; idempotent by the request's transaction."""
        return await self._update(start, RESERVE, request, ReserveReply)

    async def redeliver(self, start: AnyInput) -> None:
        """Announce the transaction's present state once more."""
        await self._signal(start, REDELIVER, None)

    async def close_reservation(
        self, start: PreauthInput | PaymentInput, result: ReservationResult
    ) -> None:
        """Close a reservation at its parent transaction."""
        await self._signal(start, CLOSE_RESERVATION, result)

    async def notify(self, start: AnyInput, notification: NotificationSignal) -> None:
        """Signal a stored notification to its transaction, reopening it if it has closed."""
        await self._signal(start, NOTIFY, notification)

    async def look_up(self, start: AnyInput, psp_id: str | None = None) -> None:
        """Have the transaction looked up at the PSP, reopening it if it has closed."""
        await self._signal(start, LOOK_UP, LookUpSignal(psp_id=psp_id))

    async def record_external_movement(
        self, start: PreauthInput | PaymentInput, movement: ExternalMovement
    ) -> None:
        """Signal an external movement to its parent transaction."""
        await self._signal(start, RECORD_EXTERNAL_MOVEMENT, movement)

    async def resolve(self, start: AnyInput, decision: Decision) -> ResolveReply:
        """Apply an operator's decision, reopening the transaction if it has closed.

        The workflow sets the decision's time itself; repeating the decision changes nothing.
        """
        return await self._update(start, RESOLVE, decision, ResolveReply)

    async def _describe(
        self, merchant_id: str, kind: TransactionKind, transaction_id: str
    ) -> DescribeWorkflowExecutionResponse:
        # Not by the SDK's handle, which fails for a paused workflow: it has no name for that.
        request = DescribeWorkflowExecutionRequest(namespace=self._client.namespace)
        request.execution.workflow_id = workflow_id(merchant_id, kind, transaction_id)
        return await self._client.workflow_service.describe_workflow_execution(request)

    def _handle(
        self, merchant_id: str, kind: TransactionKind, transaction_id: str
    ) -> WorkflowHandle[Any, Any]:
        return self._client.get_workflow_handle(workflow_id(merchant_id, kind, transaction_id))

    def _options(self, start: AnyInput) -> dict[str, Any]:
        """Return the options common to all starts of a transaction's workflow."""
        return {
            "id": workflow_id(start.merchant_id, kind_of(start), start.transaction_id),
            "task_queue": self._task_queue,
            "static_summary": summarize_input(start),
            "search_attributes": search_attributes.initial_attributes(start),
        }

    async def _update(
        self,
        start: AnyInput,
        update: str,
        arg: BaseModel | None,
        reply: type[Reply],
    ) -> Reply:
        """Update the transaction, reopening it from the store's present state if it has closed.

        The state in `start` may be older than the workflow's last one.
        """
        handle = self._handle(start.merchant_id, kind_of(start), start.transaction_id)
        args = [] if arg is None else [arg]
        try:
            response: Reply = await handle.execute_update(update, args=args, result_type=reply)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
        except WorkflowUpdateFailedError as error:
            if not _is_closed(error):
                raise
        else:
            return response
        fresh = await self._refresh(_require_resume_state(start))
        policy = WorkflowIDReusePolicy.ALLOW_DUPLICATE
        return await self._update_with_start(fresh, policy, update, arg, reply)

    async def _update_with_start(
        self,
        start: AnyInput,
        reuse: WorkflowIDReusePolicy,
        update: str,
        arg: BaseModel | None,
        reply: type[Reply],
        update_id: str | None = None,
    ) -> Reply:
        operation = WithStartWorkflowOperation[Any, Any](
            WORKFLOW_NAMES[kind_of(start)],
            start,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=reuse,
            **self._options(start),
        )
        try:
            with _report_missing_attributes():
                response: Reply = await self._client.execute_update_with_start_workflow(
                    update,
                    args=[] if arg is None else [arg],
                    start_workflow_operation=operation,
                    id=update_id,
                    result_type=reply,
                )
        finally:
            await _await_start(operation)
        return response

    async def _signal(self, start: AnyInput, signal: str, arg: BaseModel | None) -> None:
        kind = kind_of(start)
        handle = self._handle(start.merchant_id, kind, start.transaction_id)
        try:
            await handle.signal(signal, args=[] if arg is None else [arg])
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            fresh = await self._refresh(_require_resume_state(start))
            with _report_missing_attributes():
                await self._client.start_workflow(
                    WORKFLOW_NAMES[kind],
                    fresh,
                    id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
                    id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                    start_signal=signal,
                    start_signal_args=[] if arg is None else [arg],
                    **self._options(fresh),
                )


@contextmanager
def _report_paused_workflow() -> Iterator[None]:
    """Convert the error by which the SDK reports that Temporal rejects a query.

    A paused workflow answers none, and the SDK does not know its status.
    """
    try:
        yield
    except ValueError as error:
        raise WorkflowQueryFailedError(f"Temporal rejects queries: {error}") from error


@contextmanager
def _report_missing_attributes() -> Iterator[None]:
    """Convert the error of an unprepared namespace and log the remedy."""
    try:
        yield
    except RPCError as error:
        unknown = "search attribute" in error.message.lower()
        if error.status is not RPCStatusCode.INVALID_ARGUMENT or not unknown:
            raise
        log.error("No workflow can be started: run `integrator migrate` (%s)", error.message)
        raise AttributesUnknown(error.message) from error


def _require_resume_state(start: AnyInput) -> AnyInput:
    if start.resume is None:
        raise ValueError(
            "A transaction can only be reopened from a stored state: `resume` is missing."
        )
    return start


def _is_closed(error: WorkflowUpdateFailedError) -> bool:
    cause = error.cause
    return isinstance(cause, ApplicationError) and cause.type == "AcceptedUpdateCompletedWorkflow"


async def _await_start(operation: WithStartWorkflowOperation[Any, Any]) -> None:
    """Retrieve the start's result: the SDK keeps a failed start as an exception to be retrieved."""
    try:
        await operation.workflow_handle()
    except (RPCError, RuntimeError, WorkflowAlreadyStartedError):
        return
