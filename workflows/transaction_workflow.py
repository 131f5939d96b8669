"""Base of the three workflows: messages, main loop and timer around the parts of a transaction.

A transaction's workflow runs six tasks concurrently on one state:

* the operation: the PSP call of the request;
* the notifications: stored PSP notifications, one at a time;
* the recorder: writes every version of the state to the store;
* the notifier: sends change notifications, one at a time;
* the merger: takes over what the store knows and this run does not;
* the Temporal UI: search attributes and timeline.

It ends when nothing can change any more and everything is recorded and announced.
"""

import asyncio
from collections.abc import Coroutine
from datetime import datetime

from temporalio import workflow
from temporalio.exceptions import FailureError

from integrator.contract.enums import PaymentErrorCode
from integrator.psp.types import Declined, Pending
from workflows import timeouts
from workflows.change_notifier import ChangeNotifier
from workflows.deadline_timer import DeadlineTimer
from workflows.deadlines import Deadline
from workflows.lookup import Lookup
from workflows.messages import (
    CALLER_DETACHED,
    CREATE,
    DELIVERY,
    LOOK_UP,
    NOTIFY,
    REDELIVER,
    RESOLVE,
    STATE,
    Delivery,
    LookUpSignal,
    NotificationSignal,
    ReservationResult,
    ResolveReply,
)
from workflows.metrics import StateMetrics
from workflows.notification_reader import NotificationReader
from workflows.psp_operation import PspOperation
from workflows.snapshot_recorder import SnapshotRecorder
from workflows.state import Decision, EvidenceKind, TransactionState
from workflows.stored_state import StoredStateMerger
from workflows.temporal_ui import TemporalUi
from workflows.transaction_context import TransactionContext


class TransactionWorkflow:
    """Signals `caller_left`, `notify`, `look_up` and `redeliver`, updates `create` and `resolve`,
    queries `state` and `delivery`; a subclass composes the parts that differ, and adds its own."""

    def __init__(
        self,
        context: TransactionContext,
        operation: PspOperation,
        lookup: Lookup,
        deadline: Deadline,
        *,
        activates_agreement: bool = False,
    ) -> None:
        self._context = context
        self._operation = operation
        self._lookup = lookup
        self._deadline = deadline
        self._merger = StoredStateMerger(context)
        self._notifications = NotificationReader(context, operation)
        metrics = StateMetrics(
            context.start, context.state, resumed=context.start.resume is not None
        )
        self._temporal_ui = TemporalUi(context)
        self._recorder = SnapshotRecorder(
            context,
            metrics,
            self._temporal_ui,
            operation.reservation,
            activates_agreement=activates_agreement,
        )
        self._notifier = ChangeNotifier(context, self._temporal_ui)
        self._timer = DeadlineTimer()
        self._tasks: list[asyncio.Task[None]] = []
        self._psp_task_running = False
        self._cancellation_seen = False
        self._held_results: list[ReservationResult] = []

    # --- run ------------------------------------------------------------------------------

    async def _run(self) -> str:
        """Run until the transaction is final; return its last status.

        An unexpected failure must not fail the workflow, which would end the only record of money
        in flight: it fails the workflow task, which is retried until the code is fixed.
        """
        try:
            await self._main_loop()
        except FailureError as error:
            raise RuntimeError(f"Unexpected failure: {error}") from error
        return self._context.state.status.name

    async def _main_loop(self) -> None:
        context = self._context
        self._spawn(self._merger.run())
        released = await self._wait_for_release()
        if not context.state.answered:
            self._begin_operation(released=released)
        self._spawn(self._notifications.run())
        self._spawn(self._recorder.run())
        self._spawn(self._notifier.run())
        self._spawn(self._temporal_ui.run())
        self._spawn(self._finish_due_steps())
        self._spawn(self._apply_held_results())
        while not (self._is_finished() and workflow.all_handlers_finished()):
            self._raise_failures()
            if workflow.info().is_continue_as_new_suggested() and self._can_continue_as_new():
                workflow.continue_as_new(context.start.model_copy(update={"resume": context.state}))
            try:
                await self._wait_for_work()
            except asyncio.CancelledError:
                self._ignore_cancellation()
            self._start_due_task()
        self._timer.stop()
        for task in self._tasks:
            task.cancel()

    async def _wait_for_release(self) -> bool:
        await asyncio.sleep(0)  # messages that arrived with the start are handled first
        try:
            if not self._context.released and not self._merger.requested:
                await workflow.wait_condition(
                    lambda: self._context.released or self._merger.requested,
                    timeout=timeouts.CREATE_GRACE,
                    timeout_summary="wait for the caller's create",
                )
            if self._merger.requested:
                # In the merger's task: a cancellation of the workflow does not reach it.
                await workflow.wait_condition(
                    lambda: not self._merger.requested or self._has_failed_task()
                )
                self._raise_failures()
            return self._context.released
        except TimeoutError:
            return False
        except asyncio.CancelledError:
            self._ignore_cancellation()
            return await self._wait_for_release()

    def _begin_operation(self, *, released: bool) -> None:
        """Start the PSP call of a first run; otherwise the PSP is asked first.

        A debit that waits for its day is sent on it by any run: its row shows whether an earlier
        run may have sent it. Without the patch: a history from before. `released` is False when
        `create` never came.
        """
        is_waiting = self._context.state.waiting_until is not None
        if is_waiting and not released:
            self._context.released = True
            self._context.detach_caller()
        if is_waiting or (released and self._context.start.resume is None):
            self._context.operation_running = True
            self._spawn(self._operation.run())
        elif workflow.patched("look-up-before-sending"):
            self._run_psp_task(self._look_up_before_sending())
        elif released:
            self._context.apply(Pending(psp_id=None), EvidenceKind.READ, "reopened unanswered")
            self._context.state.flag_attention(
                "The workflow was reopened before the PSP's answer was known."
            )
        else:
            declined = Declined(
                code=PaymentErrorCode.InternalError,
                message="The request was never confirmed and nothing was sent to the PSP.",
            )
            self._context.apply(declined, EvidenceKind.NOT_SENT, "no create")

    async def _look_up_before_sending(self) -> None:
        """Ask the PSP; if that leaves it open, send the operation with its key."""
        context = self._context
        context.released = True
        context.detach_caller()
        context.announce_change(context.state.mark_pending(workflow.now()))
        # An attempt of an earlier run may be under way; after it, absence at the PSP is a proof.
        await workflow.sleep(
            timeouts.ATTEMPT_UNDER_WAY, summary="an earlier attempt may be under way"
        )
        await self._lookup.run()
        if not context.state.answered:
            context.operation_running = True
            self._spawn(self._operation.run())

    async def _finish_due_steps(self) -> None:
        """Do what was due when an earlier run of this transaction was ended, until cancelled."""
        while True:
            await workflow.wait_condition(lambda: self._context.steps_due)
            await self._finish_interrupted()
            self._context.steps_due = False

    def _holds_back(self, result: ReservationResult) -> bool:
        """Keep a reservation's result until the stored state is merged, if that is to be awaited.

        The store may know the attempt that has ended, and this run may not. A workflow from before
        applies it at once.
        """
        if not self._context.start.durable_reads:
            self._merger.request_for_result(result)
            return False
        is_known = self._merger.knows_attempt(result)
        if is_known and not self._merger.expected:
            return False
        self._held_results.append(result)
        self._context.merge_requested |= not is_known
        return True

    async def _apply_held_results(self) -> None:
        """Apply the results that were held back, until cancelled."""
        while True:
            await workflow.wait_condition(lambda: bool(self._held_results))
            await self._merger.wait_until_merged()
            while self._held_results:
                self._apply_result(self._held_results.pop(0))

    def _apply_result(self, result: ReservationResult) -> None:
        """End the reservation of a capture or a refund; a refund has none to end."""

    async def _finish_interrupted(self) -> None:
        if self._context.parent_due:
            await self._operation.reservation.close(self._context.state)
            self._context.parent_due = False

    def _ignore_cancellation(self) -> None:
        """Ignore a cancellation of the workflow: a transaction ends only when it is final.

        To be called where CancelledError is caught; it is raised again if it means that the
        worker evicts the workflow from its cache.
        """
        if self._cancellation_seen or workflow.cancellation_reason() is None:
            raise
        self._cancellation_seen = True
        self._context.state.flag_attention(
            "A cancellation of the workflow was requested and ignored."
        )

    def _is_finished(self) -> bool:
        is_final = self._context.state.is_final or self._deadline.ends_transaction
        return is_final and self._is_idle()

    def _can_continue_as_new(self) -> bool:
        """Return whether nothing would be lost by continuing as a new run."""
        return self._is_idle() and workflow.all_handlers_finished()

    def _is_idle(self) -> bool:
        """Return whether nothing is in flight and everything is recorded and announced."""
        return (
            (not self._context.operation_running or self._context.waiting_for_day)
            and not self._psp_task_running
            and not self._context.lookup_schedule.requested
            and not self._context.caller_waiting
            and not self._merger.requested
            and not self._context.steps_due
            and not self._held_results
            and not self._notifications.pending_count
            and not self._context.has_unrecorded_version
            and not self._context.has_unannounced_version
        )

    # --- what wakes the main loop, and what it starts -------------------------------------

    async def _wait_for_work(self) -> None:
        self._context.lookup_schedule.schedule_next(
            workflow.now(), outcome_open=self._lookup.outcome_open
        )
        if not self._psp_task_running:
            self._timer.set(*self._next_due())
        before = self._progress_marker()
        await workflow.wait_condition(
            lambda: self._timer.fired or before != self._progress_marker()
        )
        self._timer.fired = False

    def _next_due(self) -> tuple[datetime | None, str]:
        look_up, deadline = self._context.lookup_schedule.next_at, self._deadline.at
        if deadline is None or (look_up is not None and look_up <= deadline):
            return look_up, "next look-up at the PSP"
        return deadline, self._deadline.summary

    def _progress_marker(self) -> tuple[object, ...]:
        """Return the values whose change wakes the main loop."""
        context = self._context
        schedule = context.lookup_schedule
        failed = self._has_failed_task()
        busy = (context.operation_running, self._psp_task_running, workflow.all_handlers_finished())
        merging = (self._merger.requested, context.steps_due, len(self._held_results))
        to_do = (self._notifications.pending_count, schedule.requested)
        versions = (context.state.version, context.recorded_version, context.announced_version)
        return (*versions, schedule.next_at, busy, merging, to_do, failed)

    def _start_due_task(self) -> None:
        if self._psp_task_running:
            return
        now, deadline = workflow.now(), self._deadline.at
        if self._context.lookup_schedule.pop_due(now):
            self._run_psp_task(self._lookup.run())
        elif deadline is not None and deadline <= now:
            self._run_psp_task(self._deadline.handle())

    def _run_psp_task(self, work: Coroutine[object, object, object]) -> None:
        """Run one look-up or deadline at a time, concurrently with the notifications.

        They do not wait for it: the PSP may be unavailable.
        """

        async def run() -> None:
            try:
                await work
            finally:
                self._psp_task_running = False

        self._psp_task_running = True
        self._spawn(run())

    def _spawn(self, coroutine: Coroutine[object, object, None]) -> None:
        self._tasks = [task for task in self._tasks if not task.done() or task.exception()]
        self._tasks.append(asyncio.create_task(coroutine))

    def _has_failed_task(self) -> bool:
        return any(task.done() and task.exception() for task in self._tasks)

    def _raise_failures(self) -> None:
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()

    # --- handlers -------------------------------------------------------------------------

    @workflow.signal(name=CALLER_DETACHED)
    def caller_detached(self) -> None:
        """Announce every change from now on: the caller was answered Pending.

        A signal, because it must be durable even while no worker runs.
        """
        context = self._context
        context.released = True
        answered_before = context.state.answered
        context.detach_caller()
        context.state.mark_pending(workflow.now())
        if answered_before:
            context.announce()

    @workflow.signal(name=NOTIFY)
    def notify(self, notification: NotificationSignal) -> None:
        """Queue a stored PSP notification for reading."""
        self._merger.request_unless_created()
        self._notifications.add(notification)

    @workflow.signal(name=LOOK_UP)
    def look_up(self, request: LookUpSignal | None = None) -> None:
        """Ask the PSP: reconciliation found something that the state does not include.

        Operators send it by hand, too, without an argument.
        """
        self._merger.request_unless_created()
        if request is not None and request.psp_id is not None:
            self._context.lookup_schedule.add_id(request.psp_id)
        self._context.request_lookup()

    @workflow.signal(name=REDELIVER)
    def redeliver(self) -> None:
        """Announce the current state again, even if it was delivered."""
        self._merger.request_unless_created()
        self._notifier.redeliver()

    @workflow.update(name=CREATE)
    async def create(self) -> TransactionState:
        """Release the operation and return the state after its first outcome.

        An update, because the caller waits for the result; without a validator, because all
        checks are done before the workflow is started.
        """
        context = self._context
        context.released = True
        # Without a worker the caller may have been answered Pending before this starts.
        context.caller_waiting = not context.caller_detached
        await workflow.wait_condition(lambda: context.state.answered or context.waiting_for_day)
        context.caller_waiting = False
        return context.state

    @workflow.update(name=RESOLVE)
    async def resolve(self, decision: Decision) -> ResolveReply:
        """Apply an operator's decision, unless the PSP reports an outcome first.

        An update, because the operator must learn whether it was refused.
        """
        await self._merger.wait_until_merged()
        await self._merger.compare_with_store()
        state = self._context.state
        decision = decision.model_copy(update={"at": workflow.now()})
        refusal = state.check_decision(decision)
        if refusal is None and not state.has_decision(decision):
            refusal = await self._operation.apply_decision(decision)
        return ResolveReply(status=state.status, version=state.version, refusal=refusal)

    @workflow.query(name=STATE)
    def current_state(self) -> TransactionState:
        """Return the current state."""
        return self._context.state

    @workflow.query(name=DELIVERY)
    def delivery(self) -> Delivery:
        """Return the status of the change notifications."""
        return self._context.delivery
