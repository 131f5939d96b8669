"""What the three workflows share: the order of things around the pure state.

A transaction's workflow runs five concerns side by side, all on one state:

* the *operation*: the PSP call that the request asked for;
* the *inbox*: PSP notifications and due look-ups, one at a time;
* the *recorder*: every version of the state goes to the store;
* the *announcer*: one change notification at a time, changes in between folded into one more;
* the *display*: the story that the Temporal UI shows.

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
    CALLER_LEFT,
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
    """Base of the workflows; a subclass brings its state, its operation and its deadlines."""

    deadline_is: ClassVar[str] = "deadline"

    def _prepare(
        self, start: I, state: S, fetch: activity_plans.ActivityPlan[PspCall, PspReply]
    ) -> None:
        super()._prepare(start, state, fetch)
        self._psp_task = False
        self._tasks: list[asyncio.Task[None]] = []
        self._alarm = DeadlineTimer()
        self._cancellation_seen = False

    # --- messages -------------------------------------------------------------------------

    @workflow.update(name=CREATE)
    async def create(self) -> S:
        """Release the operation and answer with its first outcome.

        An update, because the caller waits for the answer; without a validator, because every
        check is done before the workflow is started.
        """
        self._released = True
        # With no worker at hand the caller may have been told Pending before this begins.
        self._caller_waits = not self._caller_left
        await workflow.wait_condition(lambda: self.state.answered)
        self._caller_waits = False
        return self.state

    @workflow.signal(name=CALLER_LEFT)
    def caller_detached(self) -> None:
        """The caller has been told Pending: from now on every change must be announced.

        A signal, because it must be durable even while no worker runs.
        """
        self._released = True
        answered_unheard = self.state.answered
        self._caller_left = True
        self._caller_waits = False
        self.state.mark_pending(workflow.now())
        if answered_unheard:
            self._announcer.announce()

    @workflow.signal(name=NOTIFY)
    def notify(self, notification: NotificationSignal) -> None:
        """A stored PSP notification is waiting to be read."""
        self._inbox.append(notification)

    @workflow.signal(name=LOOK_UP)
    def look_up(self, wanted: LookUpSignal) -> None:
        """Reconciliation has seen something at the PSP that the state does not show."""
        if wanted.psp_id is not None:
            self._look_ups.also_under(wanted.psp_id)
        self._request_lookup()

    @workflow.signal(name=REDELIVER)
    def redeliver(self) -> None:
        """Announce the present state once more, whatever was delivered before."""
        self._announcer.redeliver()

    @workflow.update(name=RESOLVE)
    async def resolve(self, decision: Decision) -> ResolveReply:
        """Carry out what an operator decides; if the PSP speaks first, its word counts.

        An update, because the operator must hear whether it was refused.
        """
        decision = decision.model_copy(update={"at": workflow.now()})
        refusal = self.state.refuse_decision(decision)
        if refusal is None and not self.state.has_decided(decision):
            refusal = await self._apply_decision(decision)
        return ResolveReply(status=self.state.status, version=self.state.version, refusal=refusal)

    @workflow.query(name=STATE)
    def current_state(self) -> S:
        """The state as it is now."""
        return self.state

    @workflow.query(name=DELIVERY)
    def delivery(self) -> Delivery:
        """Where the change notifications stand."""
        return self._announcer.delivery

    # --- what a subclass brings -----------------------------------------------------------

    def _deadline(self) -> datetime | None:
        """When the subclass wants `_on_deadline`; None for never."""
        return None

    async def _on_deadline(self) -> None:
        """Called once the deadline has passed."""

    # --- the life of a transaction --------------------------------------------------------

    async def _run(self) -> None:
        """Run to the end of the transaction's life.

        A failure nobody expected must not fail the workflow, which would end the only record of
        money in flight: it stops the run where it is until the code is mended.
        """
        try:
            await self._main_loop()
        except FailureError as error:
            raise RuntimeError(f"Unexpected failure: {error}") from error

    async def _main_loop(self) -> None:
        if not await self._released_in_time():
            self._fail_unconfirmed()
        elif not self.state.answered:
            self._begin_operation()
        self._spawn(self._read_inbox())
        self._spawn(self._recorder.run())
        self._spawn(self._announcer.run())
        self._spawn(self._display.run())
        while not (self._finished() and workflow.all_handlers_finished()):
            self._raise_failures()
            if workflow.info().is_continue_as_new_suggested() and self._can_continue_as_new():
                workflow.continue_as_new(self._start.model_copy(update={"resume": self.state}))
            try:
                await self._wait_for_work()
            except asyncio.CancelledError:
                self._ignore_cancellation()
            self._start_what_is_due()
        self._alarm.stop()
        for task in self._tasks:
            task.cancel()

    def _begin_operation(self) -> None:
        """Only a first run sends: whether an earlier one has sent, only the PSP can tell."""
        if self._start.resume is not None:
            self._apply(Pending(psp_id=None), EvidenceKind.READ, "reopened unanswered")
            self.state.flag_attention(
                "The workflow was reopened before the PSP's answer was known."
            )
            return
        self._operating = True
        self._spawn(self._operate_once())

    def _ignore_cancellation(self) -> None:
        """A transaction ends when its money is at rest, not when somebody presses a button.

        To be called where CancelledError is caught; it is raised again when it means that the
        worker drops the workflow from its memory.
        """
        if self._cancellation_seen or workflow.cancellation_reason() is None:
            raise
        self._cancellation_seen = True
        self.state.flag_attention("A cancellation of the workflow was requested and ignored.")

    async def _released_in_time(self) -> bool:
        await asyncio.sleep(0)  # messages of the starting activation are handled first
        try:
            if not self._released:
                await workflow.wait_condition(
                    lambda: self._released,
                    timeout=timeouts.CREATE_GRACE,
                    timeout_summary="waits for the caller's create",
                )
        except TimeoutError:
            return False
        except asyncio.CancelledError:
            self._ignore_cancellation()
            return await self._released_in_time()
        return True

    def _fail_unconfirmed(self) -> None:
        """Nobody ever asked for the outcome, and nothing was sent: end it truthfully."""
        refused = Declined(
            code=PaymentErrorCode.InternalError,
            message="The request was never confirmed and nothing was sent to the PSP.",
        )
        self._apply(refused, EvidenceKind.NOT_SENT, "no create")

    def _spawn(self, coroutine: Coroutine[object, object, None]) -> None:
        self._tasks = [task for task in self._tasks if not task.done() or task.exception()]
        self._tasks.append(asyncio.create_task(coroutine))

    def _raise_failures(self) -> None:
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.result()

    def _finished(self) -> bool:
        return self.state.is_final and self._at_rest()

    def _can_continue_as_new(self) -> bool:
        """Nothing would be lost by continuing as a new run."""
        return self._at_rest() and workflow.all_handlers_finished()

    def _at_rest(self) -> bool:
        """Nothing in flight, everything recorded and announced."""
        return (
            not self._operating
            and not self._psp_task
            and not self._look_ups.requested
            and not self._caller_waits
            and not self._inbox
            and not self._recorder.behind
            and not self._announcer.behind
        )

    async def _wait_for_work(self) -> None:
        self._look_ups.plan(workflow.now(), open_question=self._is_open_question())
        if not self._psp_task:
            self._alarm.set(*self._next_due())
        before = self._progress_marker()
        await workflow.wait_condition(
            lambda: self._alarm.fired or before != self._progress_marker()
        )
        self._alarm.fired = False

    def _next_due(self) -> tuple[datetime | None, str]:
        look_up, deadline = self._look_ups.next_at, self._deadline()
        if deadline is None or (look_up is not None and look_up <= deadline):
            return look_up, "asks the PSP again"
        return deadline, self.deadline_is

    def _progress_marker(self) -> tuple[object, ...]:
        """Whatever makes the main loop look again."""
        failed = any(task.done() and task.exception() for task in self._tasks)
        busy = (self._operating, self._psp_task, workflow.all_handlers_finished())
        to_do = (len(self._inbox), self._look_ups.requested)
        versions = (self.state.version, self._recorder.version, self._announcer.announced)
        return (*versions, self._look_ups.next_at, busy, to_do, failed)

    def _start_what_is_due(self) -> None:
        if self._psp_task:
            return
        now = workflow.now()
        deadline = self._deadline()
        if self._look_ups.pop_due(now):
            self._run_psp_task(self._look_up())
        elif deadline is not None and deadline <= now:
            self._run_psp_task(self._on_deadline())

    def _run_psp_task(self, errand: Coroutine[object, object, object]) -> None:
        """One look-up or deadline at a time, beside the inbox: the PSP may be away."""

        async def run() -> None:
            try:
                await errand
            finally:
                self._psp_task = False

        self._psp_task = True
        self._spawn(run())
