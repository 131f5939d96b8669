"""The one place that talks to transactions' workflows from outside, for the API and activities.

It knows ids, message names and policies; callers know none of them.
"""

import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

from pydantic import BaseModel
from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowUpdateFailedError,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import ApplicationError, WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from workflows import search_attributes
from workflows.messages import (
    ADOPT,
    CALLER_LEFT,
    CANCEL,
    CREATE,
    DELIVERY,
    FINALIZE,
    LOOK_UP,
    NOTIFY,
    REDELIVER,
    RESERVE,
    RESOLVE,
    SETTLE,
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
from workflows.timeline import summary

STATE_TYPES: dict[TransactionKind, type[AnyState]] = {
    TransactionKind.PREAUTH: PreauthState,
    TransactionKind.PAYMENT: PaymentState,
    TransactionKind.REFUND: RefundState,
}
log = logging.getLogger(__name__)
Reply = TypeVar("Reply", bound=BaseModel)
Refresh = Callable[[AnyInput], Awaitable[AnyInput]]


class AttributesUnknown(RuntimeError):
    """The namespace does not know our search attributes, so that nothing can be started in it."""


class TransactionClient:
    """Starts, asks and tells transactions' workflows on one task queue.

    Every method may raise `RPCError` or `RuntimeError` (Temporal away, or not prepared:
    `AttributesUnknown`) and the SDK's `WorkflowUpdateRPCTimeoutOrCancelledError` (no worker
    answered in time).
    """

    def __init__(self, client: Client, task_queue: str, refresh: Refresh) -> None:
        """`refresh` brings the state that a start resumes from up to date with the store."""
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

    async def ensure_started(self, start: AnyInput, *, again: bool = False) -> bool:
        """See to it that the transaction's workflow exists; True if it did not.

        It waits for its `create`. `again` also replaces one that did not complete.
        """
        reuse = WorkflowIDReusePolicy.REJECT_DUPLICATE
        if again:
            reuse = WorkflowIDReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY
        try:
            with _starting():
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
        """How the transaction's workflow has closed; None while it is open."""
        handle = self._handle(start.merchant_id, kind_of(start), start.transaction_id)
        status = (await handle.describe()).status
        return None if status is WorkflowExecutionStatus.RUNNING else status

    async def state(
        self, merchant_id: str, kind: TransactionKind, transaction_id: str, timeout: timedelta
    ) -> AnyState:
        """Ask the workflow itself."""
        handle = self._handle(merchant_id, kind, transaction_id)
        state: AnyState = await handle.query(
            STATE, result_type=STATE_TYPES[kind], rpc_timeout=timeout
        )
        return state

    async def delivery(
        self, merchant_id: str, kind: TransactionKind, transaction_id: str, timeout: timedelta
    ) -> Delivery:
        """Where the transaction's change notifications stand."""
        handle = self._handle(merchant_id, kind, transaction_id)
        found: Delivery = await handle.query(DELIVERY, result_type=Delivery, rpc_timeout=timeout)
        return found

    async def caller_detached(
        self, merchant_id: str, kind: TransactionKind, transaction_id: str
    ) -> None:
        """Durably tell the workflow that its caller was answered Pending."""
        await self._handle(merchant_id, kind, transaction_id).signal(CALLER_LEFT)

    async def finalize(self, start: PreauthInput) -> PreauthState:
        """Have the PSP asked for the result of a redirect."""
        return await self._update(start, FINALIZE, None, PreauthState)

    async def cancel(self, start: PreauthInput) -> CancelReply:
        """Give a reservation back."""
        return await self._update(start, CANCEL, None, CancelReply)

    async def reserve(
        self, start: PreauthInput | PaymentInput, request: ReserveRequest
    ) -> ReserveReply:
        """Reserve money of a preauth or a payment; the same request repeated is the same one."""
        return await self._update(start, RESERVE, request, ReserveReply)

    async def redeliver(self, start: AnyInput) -> None:
        """Announce the transaction's present state once more."""
        await self._signal(start, REDELIVER, None)

    async def close_reservation(
        self, start: PreauthInput | PaymentInput, settlement: ReservationResult
    ) -> None:
        """Tell the owner of a reservation how it ended."""
        await self._signal(start, SETTLE, settlement)

    async def notify(self, start: AnyInput, notification: NotificationSignal) -> None:
        """Hand a stored notification to its transaction, reopening it if it has closed."""
        await self._signal(start, NOTIFY, notification)

    async def look_up(self, start: AnyInput, psp_id: str | None = None) -> None:
        """Have the transaction ask the PSP, reopening it if it has closed."""
        await self._signal(start, LOOK_UP, LookUpSignal(psp_id=psp_id))

    async def record_external_movement(
        self, start: PreauthInput | PaymentInput, adoption: ExternalMovement
    ) -> None:
        """Tell the owner of money about a movement on it that was made without us."""
        await self._signal(start, ADOPT, adoption)

    async def resolve(self, start: AnyInput, decision: Decision) -> ResolveReply:
        """Have an operator's decision carried out, reopening the transaction if it has closed.

        The workflow dates the decision itself; the same one repeated changes nothing.
        """
        return await self._update(start, RESOLVE, decision, ResolveReply)

    def _handle(
        self, merchant_id: str, kind: TransactionKind, transaction_id: str
    ) -> WorkflowHandle[Any, Any]:
        return self._client.get_workflow_handle(workflow_id(merchant_id, kind, transaction_id))

    def _options(self, start: AnyInput) -> dict[str, Any]:
        """What every way of starting a transaction's workflow has in common."""
        return {
            "id": workflow_id(start.merchant_id, kind_of(start), start.transaction_id),
            "task_queue": self._task_queue,
            "static_summary": summary(start),
            "search_attributes": search_attributes.at_start(start),
        }

    def _operation(
        self, start: AnyInput, reuse: WorkflowIDReusePolicy
    ) -> WithStartWorkflowOperation[Any, Any]:
        return WithStartWorkflowOperation(
            WORKFLOW_NAMES[kind_of(start)],
            start,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=reuse,
            **self._options(start),
        )

    async def _update(
        self,
        start: AnyInput,
        update: str,
        arg: BaseModel | None,
        reply: type[Reply],
    ) -> Reply:
        """Update the transaction; one that has closed is reopened from what the store says then.

        The state in `start` may be older than what the workflow did before it closed.
        """
        handle = self._handle(start.merchant_id, kind_of(start), start.transaction_id)
        args = [] if arg is None else [arg]
        try:
            answer: Reply = await handle.execute_update(update, args=args, result_type=reply)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
        except WorkflowUpdateFailedError as error:
            if not _closed_meanwhile(error):
                raise
        else:
            return answer
        fresh = await self._refresh(_must_resume(start))
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
        operation = self._operation(start, reuse)
        try:
            with _starting():
                answer: Reply = await self._client.execute_update_with_start_workflow(
                    update,
                    args=[] if arg is None else [arg],
                    start_workflow_operation=operation,
                    id=update_id,
                    result_type=reply,
                )
        finally:
            await _consume(operation)
        return answer

    async def _signal(self, start: AnyInput, signal: str, arg: BaseModel | None) -> None:
        kind = kind_of(start)
        handle = self._handle(start.merchant_id, kind, start.transaction_id)
        try:
            await handle.signal(signal, args=[] if arg is None else [arg])
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            fresh = await self._refresh(_must_resume(start))
            with _starting():
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
def _starting() -> Iterator[None]:
    """Tells an operator what to do about a namespace that was not prepared."""
    try:
        yield
    except RPCError as error:
        unknown = "search attribute" in error.message.lower()
        if error.status is not RPCStatusCode.INVALID_ARGUMENT or not unknown:
            raise
        log.error("nothing can be started: run `integrator migrate` (%s)", error.message)
        raise AttributesUnknown(error.message) from error


def _must_resume(start: AnyInput) -> AnyInput:
    if start.resume is None:
        raise ValueError("A transaction can only be reopened from a stored state.")
    return start


def _closed_meanwhile(error: WorkflowUpdateFailedError) -> bool:
    cause = error.cause
    return isinstance(cause, ApplicationError) and cause.type == "AcceptedUpdateCompletedWorkflow"


async def _consume(operation: WithStartWorkflowOperation[Any, Any]) -> None:
    """The SDK keeps a failed start as an exception that somebody must look at."""
    try:
        await operation.workflow_handle()
    except (RPCError, RuntimeError, WorkflowAlreadyStartedError):
        return
