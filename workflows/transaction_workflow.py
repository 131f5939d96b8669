"""Base of the three workflows: messages, main loop and timers around the pure state.

A transaction's workflow runs five tasks concurrently on one state:

* the operation: the PSP call of the request;
* the notifications: stored PSP notifications, one at a time;
* the recorder: writes every version of the state to the store;
* the notifier: sends change notifications, one at a time;
* the Temporal UI: search attributes and timeline.

It ends when nothing can change any more and everything is recorded and announced.
"""

import asyncio
from collections.abc import Coroutine
from datetime import datetime
from typing import ClassVar

from temporalio import workflow
from temporalio.exceptions import FailureError

from integrator.contract.enums import PaymentErrorCode
from integrator.psp.types import Declined, Pending
from workflows import activity_plans, timeouts
from workflows.deadline_timer import DeadlineTimer
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
    PspCall,
    PspReply,
    ResolveReply,
)
from workflows.state import Decision, EvidenceKind
from workflows.transaction_handling import I, S, TransactionHandling


class TransactionWorkflow(TransactionHandling[I, S]):
    """Base of the workflows; a subclass defines its state, operation and deadline."""

    deadline_summary: ClassVar[str] = "deadline"

    def _prepare(
        self, start: I, state: S, fetch: activity_plans.ActivityPlan[PspCall, PspReply]
    ) -> None:
        super()._prepare(start, state, fetch)
        self._psp_task_running = False
        self._tasks: list[asyncio.Task[None]] = []
        self._deadline_timer = DeadlineTimer()
        self._cancellation_seen = False

    # --- messages -------------------------------------------------------------------------

    @workflow.update(name=CREATE)
    async def create(self) -> S:
        """Release the operation and return the state after its first outcome.

        An update, because the caller waits for the result; without a validator, because all
        checks are done before the workflow is started.
        """
        self._released = True
        # Without a worker the caller may have been answered Pending before this starts.
        self._caller_waiting = not self._caller_detached
        await workflow.wait_condition(lambda: self.state.answered)
        self._caller_waiting = False
        return self.state

    @workflow.signal(name=CALLER_DETACHED)
    def caller_detached(self) -> None:
        """Announce every change from now on: the caller was answered Pending.

        A signal, because it must be durable even while no worker runs.
        """
        self._released = True
        answered_before = self.state.answered
        self._caller_detached = True
        self._caller_waiting = False
        self.state.mark_pending(workflow.now())
        if answered_before:
            self._notifier.announce()

    @workflow.signal(name=NOTIFY)
    def notify(self, notification: NotificationSignal) -> None:
        """Queue a stored PSP notification for reading."""
        self._notifications.append(notification)

    @workflow.signal(name=LOOK_UP)
    def look_up(self, request: LookUpSignal) -> None:
        """Ask the PSP: reconciliation found something that the state does not include."""
        if request.psp_id is not None:
            self._lookup_schedule.add_id(request.psp_id)
        self._request_lookup()

    @workflow.signal(name=REDELIVER)
    def redeliver(self) -> None:
        """Announce the current state again, even if it was delivered."""
        self._notifier.redeliver()

    @workflow.update(name=RESOLVE)
    async def resolve(self, decision: Decision) -> ResolveReply:
        """Apply an operator's decision, unless the PSP reports an outcome first.

        An update, because the operator must learn whether it was refused.
        """
        decision = decision.model_copy(update={"at": workflow.now()})
        refusal = self.state.check_decision(decision)
        if refusal is None and not self.state.has_decision(decision):
            refusal = await self._apply_decision(decision)
        return ResolveReply(status=self.state.status, version=self.state.version, refusal=refusal)

    @workflow.query(name=STATE)
    def current_state(self) -> S:
        """Return the current state."""
        return self.state

    @workflow.query(name=DELIVERY)
    def delivery(self) -> Delivery:
        """Return the status of the change notifications."""
        return self._notifier.delivery

    # --- hooks of subclasses --------------------------------------------------------------

    def _deadline(self) -> datetime | None:
        """Return when to call `_on_deadline`; None for never."""
        return None

    async def _on_deadline(self) -> None:
        """Handle the passing of the deadline."""

    # --- main loop ------------------------------------------------------------------------

    async def _run(self) -> None:
        """Run until the transaction is final.

        An unexpected failure must not fail the workflow, which would end the only record of money
        in flight: it fails the workflow task, which is retried until the code is fixed.
        """
        try:
            await self._main_loop()
        except FailureError as error:
            raise RuntimeError(f"Unexpected failure: {error}") from error

    async def _main_loop(self) -> None:
        if not await self._wait_for_release():
            self._fail_unconfirmed()
        elif not self.state.answered:
            self._begin_operation()
        self._spawn(self._process_notifications())
        self._spawn(self._recorder.run())
        self._spawn(self._notifier.run())
        self._spawn(self._temporal_ui.run())
        while not (self._is_finished() and workflow.all_handlers_finished()):
            self._raise_failures()
            if workflow.info().is_continue_as_new_suggested() and self._can_continue_as_new():
                workflow.continue_as_new(self._start.model_copy(update={"resume": self.state}))
            try:
                await self._wait_for_work()
            except asyncio.CancelledError:
                self._ignore_cancellation()
            self._start_due_task()
        self._deadline_timer.stop()
        for task in self._tasks:
            task.cancel()

    def _begin_operation(self) -> None:
        """Start the PSP call in a first run; a later run asks the PSP whether it was sent."""
        if self._start.resume is not None:
            self._apply(Pending(psp_id=None), EvidenceKind.READ, "reopened unanswered")
            self.state.flag_attention(
                "The workflow was reopened before the PSP's answer was known."
            )
            return
        self._operation_running = True
        self._spawn(self._operation_task())

    def _ignore_cancellation(self) -> None:
        """Ignore a cancellation of the workflow: a transaction ends only when it is final.

        To be called where CancelledError is caught; it is raised again if it means that the
        worker evicts the workflow from its cache.
        """
        if self._cancellation_seen or workflow.cancellation_reason() is None:
            raise
        self._cancellation_seen = True
        self.state.flag_attention("A cancellation of the workflow was requested and ignored.")

    async def _wait_for_release(self) -> bool:
        await asyncio.sleep(0)  # messages that arrived with the start are handled first
        try:
            if not self._released:
                await workflow.wait_condition(
                    lambda: self._released,
                    timeout=timeouts.CREATE_GRACE,
                    timeout_summary="wait for the caller's create",
                )
        except TimeoutError:
            return False
        except asyncio.CancelledError:
            self._ignore_cancellation()
            return await self._wait_for_release()
        return True

    def _fail_unconfirmed(self) -> None:
        """Fail the transaction: `create` never came, and nothing was sent."""
        declined = Declined(
            code=PaymentErrorCode.InternalError,
            message="The request was never confirmed and nothing was sent to the PSP.",
        )
        self._apply(declined, EvidenceKind.NOT_SENT, "no create")

    def _spawn(self, coroutine: Coroutine[object, object, None]) -> None:
        self._tasks = [task for task in self._tasks if not task.done() or task.exception()]
        self._tasks.append(asyncio.create_task(coroutine))

    def _raise_failures(self) -> None:
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()

    def _is_finished(self) -> bool:
        return self.state.is_final and self._is_idle()

    def _can_continue_as_new(self) -> bool:
        """Return whether nothing would be lost by continuing as a new run."""
        return self._is_idle() and workflow.all_handlers_finished()

    def _is_idle(self) -> bool:
        """Return whether nothing is in flight and everything is recorded and announced."""
        return (
            not self._operation_running
            and not self._psp_task_running
            and not self._lookup_schedule.requested
            and not self._caller_waiting
            and not self._notifications
            and not self._recorder.has_unrecorded_version
            and not self._notifier.has_unannounced_version
        )

    async def _wait_for_work(self) -> None:
        self._lookup_schedule.schedule_next(
            workflow.now(), outcome_open=self._needs_scheduled_lookup()
        )
        if not self._psp_task_running:
            self._deadline_timer.set(*self._next_due())
        before = self._progress_marker()
        await workflow.wait_condition(
            lambda: self._deadline_timer.fired or before != self._progress_marker()
        )
        self._deadline_timer.fired = False

    def _next_due(self) -> tuple[datetime | None, str]:
        look_up, deadline = self._lookup_schedule.next_at, self._deadline()
        if deadline is None or (look_up is not None and look_up <= deadline):
            return look_up, "next look-up at the PSP"
        return deadline, self.deadline_summary

    def _progress_marker(self) -> tuple[object, ...]:
        """Return the values whose change wakes the main loop."""
        failed = any(task.done() and task.exception() for task in self._tasks)
        busy = (self._operation_running, self._psp_task_running, workflow.all_handlers_finished())
        to_do = (len(self._notifications), self._lookup_schedule.requested)
        versions = (self.state.version, self._recorder.version, self._notifier.announced)
        return (*versions, self._lookup_schedule.next_at, busy, to_do, failed)

    def _start_due_task(self) -> None:
        if self._psp_task_running:
            return
        now = workflow.now()
        deadline = self._deadline()
        if self._lookup_schedule.pop_due(now):
            self._run_psp_task(self._look_up())
        elif deadline is not None and deadline <= now:
            self._run_psp_task(self._on_deadline())

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
