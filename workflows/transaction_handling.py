"""PSP side of a transaction: operation, notifications, look-ups and reservations.

Every result is folded into the state; the parent transaction is notified of the outcome.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import datetime
from typing import Generic, TypeVar

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

from integrator.contract.enums import PaymentErrorCode
from integrator.psp.types import Declined, Outcome, Pending
from workflows import activity_plans, timeouts
from workflows.change_notifier import ChangeNotifier
from workflows.lookup_schedule import LookupSchedule
from workflows.messages import (
    AnyInput,
    CloseReservationCall,
    NotificationRead,
    NotificationSignal,
    PspCall,
    PspReply,
    ReservationResult,
)
from workflows.metrics import StateMetrics
from workflows.psp_retry import send_until_known
from workflows.snapshot_recorder import SnapshotRecorder
from workflows.state import (
    Change,
    Decision,
    Evidence,
    EvidenceKind,
    Refusal,
    TransactionKind,
    TransactionState,
)
from workflows.temporal_ui import TemporalUi

S = TypeVar("S", bound=TransactionState)
I = TypeVar("I", bound=AnyInput)  # noqa: E741 - stands beside S


class TransactionHandling(ABC, Generic[I, S]):
    """The state of a transaction and all that may change it."""

    state: S

    def _prepare(
        self, start: I, state: S, fetch: activity_plans.ActivityPlan[PspCall, PspReply]
    ) -> None:
        self._start = start
        self.state = state
        self._fetch = fetch
        resumed = start.resume is not None
        self._released = resumed
        self._operation_running = False
        self._sending = False
        self._sending_cancelled = False
        self._caller_waiting = False
        self._caller_detached = False
        self._notifications: list[NotificationSignal] = []
        self._lookup_schedule = LookupSchedule()
        self._state_metrics = StateMetrics(start, state, resumed=resumed)
        self._temporal_ui = TemporalUi(
            start,
            lambda: self.state,
            lambda: self._notifier.delivery,
            lambda: self._lookup_schedule.next_at,
        )
        self._recorder = SnapshotRecorder(
            start,
            lambda: self.state,
            self._activates_agreement,
            self._before_record,
            self._on_recorded,
        )
        self._notifier = ChangeNotifier(
            start,
            lambda: self.state,
            lambda: self._recorder.version,
            self._update_search_attributes,
            self._temporal_ui.previous_webhook_state,
        )
        self._reported_reservation: ReservationResult | None = None
        self._reservation_lock = asyncio.Lock()

    # --- hooks of subclasses --------------------------------------------------------------

    @abstractmethod
    async def _run_operation(self) -> None:
        """Call the PSP operation of the request."""

    def _parent_transaction(self) -> tuple[TransactionKind, str] | None:
        """Return the transaction that holds a reservation for this one."""
        return None

    def _reservation_result(self, state: S) -> ReservationResult:
        """Return how this transaction's reservation ended; called only when it has."""
        return ReservationResult(by=self._start.transaction_id, booked=not state.ended)

    def _activates_agreement(self) -> bool:
        """Return whether the next record activates the agreement."""
        return False

    def _on_recorded(self, activated: bool) -> None:
        """Handle a written record."""

    # --- the operation --------------------------------------------------------------------

    async def _operation_task(self) -> None:
        try:
            await self._run_operation()
        finally:
            self._operation_running = False

    async def _call(
        self, step: activity_plans.ActivityPlan[PspCall, PspReply], call: PspCall
    ) -> None:
        """Call a money operation and fold its result, which may stay unknown."""
        reply = await self._send(step, call)
        if reply is None:
            if not self._sending_cancelled:
                self._apply(Pending(psp_id=None), EvidenceKind.ANSWER, step.name)
                self.state.flag_attention(
                    "The PSP has not answered for as long as it remembers our key."
                )
        elif reply.outcome is not None:
            await self._fold(reply.outcome, reply.evidence, step.name, settled=reply.settled)

    async def _send(
        self, step: activity_plans.ActivityPlan[PspCall, PspReply], call: PspCall
    ) -> PspReply | None:
        """Send until there is a result, or until the PSP has reported a failure by other means.

        Then the attempts are cancelled, so that their reservation can be released; the effect of
        the last one is looked up.
        """
        if self._sending_cancelled:
            return None
        sending = asyncio.create_task(send_until_known(step, call, self._start.key_window_seconds))
        self._sending = True
        await workflow.wait_condition(lambda: sending.done() or self._sending_cancelled)
        self._sending = False
        if sending.done():
            return sending.result()
        sending.cancel()
        await workflow.wait_condition(sending.done)
        if not sending.cancelled():
            sending.exception()  # retrieved, or asyncio logs it as never retrieved
        self._request_lookup()
        return None

    def _psp_call(
        self, step: str, *, psp_id: str | None = None, owner_id: str | None = None
    ) -> PspCall:
        """Return a call whose key is derived from workflow id and step: equal in repetitions."""
        return PspCall(
            merchant_id=self._start.merchant_id,
            transaction_id=self._start.transaction_id,
            idempotency_key=f"{workflow.info().workflow_id}/{step}",
            psp_id=psp_id,
            owner_id=owner_id,
        )

    # --- notifications --------------------------------------------------------------------

    async def _process_notifications(self) -> None:
        """Read queued notifications; one is removed only after it was processed."""
        while True:
            await workflow.wait_condition(lambda: bool(self._notifications))
            await self._read_notification(self._notifications[0])
            self._notifications.pop(0)

    async def _read_notification(self, notification: NotificationSignal) -> None:
        read = NotificationRead(
            merchant_id=self._start.merchant_id,
            transaction_id=self._start.transaction_id,
            notification_id=notification.notification_id,
        )
        try:
            result = await activity_plans.READ_NOTIFICATION(read, summary="read a PSP notification")
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            self.state.flag_attention(
                "A notification could not be read; the PSP was asked instead.", again=True
            )
            self._request_lookup()
            return
        if result.fetch:
            self._request_lookup()
        elif result.outcome is not None:
            await self._fold(result.outcome, EvidenceKind.NOTIFICATION, result.event_id)

    def _request_lookup(self) -> None:
        self._lookup_schedule.request(workflow.now())

    async def _look_up(self) -> PspReply | None:
        """Ask the PSP; return None if it is unavailable: the schedule repeats the look-up."""
        for psp_id in list(self._lookup_schedule.extra_ids):
            if await self._look_up_by_id(psp_id) is None:
                return None
            self._lookup_schedule.remove_id(psp_id)
        return await self._look_up_by_id(self.state.psp_transaction_id or self.state.psp_session_id)

    async def _look_up_by_id(self, psp_id: str | None) -> PspReply | None:
        call = self._psp_call(self._fetch.name, psp_id=psp_id)
        try:
            reply = await self._fetch(call, summary="look-up at the PSP")
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            return None
        # A read may lag behind the event that asked for it, though not for ever.
        self._lookup_schedule.record_answer(
            inconclusive=reply.outcome is None and not reply.absence_proven
        )
        if reply.outcome is not None:
            await self._fold(reply.outcome, reply.evidence, self._fetch.name)
        elif reply.absence_proven and not self._operation_running and self.state.undecided:
            never_arrived = Declined(
                code=PaymentErrorCode.PSPConnectionTimeout,
                message="The PSP never received the request.",
            )
            await self._fold(never_arrived, EvidenceKind.READ, self._fetch.name)
        if self.state.undecided and workflow.now() > self._overdue_at():
            self.state.flag_attention(
                "The PSP has not decided for a long time; somebody should ask it why."
            )
        self._on_lookup_answer(reply)
        return reply

    def _on_lookup_answer(self, reply: PspReply) -> None:
        """Handle the result of a look-up."""

    def _needs_scheduled_lookup(self) -> bool:
        """Return whether look-ups are to be repeated on the schedule."""
        return self.state.undecided and self.state.answered and not self._operation_running

    def _overdue_at(self) -> datetime:
        """Return from when on a missing decision of the PSP needs attention."""
        return workflow.info().start_time + timeouts.UNDECIDED_LIMIT

    async def _fold(
        self, outcome: Outcome, kind: EvidenceKind, source: str, *, settled: bool = False
    ) -> None:
        """Fold an outcome into the state and close the reservation at the parent transaction.

        A failure releases the reservation before the failure is visible: a reader may request the
        same money at once. Before that the attempts are cancelled: the next one would reserve
        again.
        """
        next_state = self.state.model_copy(deep=True)
        next_state.apply(outcome, Evidence(kind=kind, source=source, at=workflow.now()))
        if settled:
            self._reported_reservation = self._reservation_result(next_state)
        if next_state.ended and not self.state.ended:
            await self._cancel_sending()
            await self._close_reservation(next_state)
        self._apply(outcome, kind, source)
        await self._close_reservation(self.state)

    async def _cancel_sending(self) -> None:
        """Stop sending and wait until no attempt is running."""
        self._sending_cancelled = True
        await workflow.wait_condition(lambda: not self._sending)

    async def _apply_decision(self, decision: Decision) -> Refusal | None:
        """Apply a decision like an outcome; reports of the PSP that arrive meanwhile win."""
        next_state = self.state.model_copy(deep=True)
        next_state.apply_decision(decision)
        if next_state.status is self.state.status:
            self.state.apply_decision(decision)
            return None
        self._released = True
        await self._cancel_sending()
        if next_state.ended:
            await self._close_reservation(next_state)
        refusal = self.state.check_decision(decision)
        if refusal is None:
            self._apply_change(lambda: self.state.apply_decision(decision))
        else:
            # A transaction that goes on may still have to send.
            self._sending_cancelled = self.state.ended
        await self._close_reservation(self.state)
        return refusal

    async def _close_reservation(self, state: S) -> None:
        """Report the result to the parent transaction once the outcome is certain.

        One at a time: two tasks may see the outcome at once, and the last result must arrive last.
        """
        parent = self._parent_transaction()
        if parent is None or state.undecided:
            return
        async with self._reservation_lock:
            result = self._reservation_result(state)
            if result == self._reported_reservation:
                return
            kind, parent_id = parent
            await activity_plans.CLOSE_RESERVATION(
                CloseReservationCall(
                    merchant_id=self._start.merchant_id,
                    owner_kind=kind,
                    owner_id=parent_id,
                    settlement=result,
                ),
                summary=f"close the reservation at the {kind.value}",
            )
            self._reported_reservation = result

    # --- state changes --------------------------------------------------------------------

    def _apply(self, outcome: Outcome, kind: EvidenceKind, source: str) -> Change:
        evidence = Evidence(kind=kind, source=source, at=workflow.now())
        return self._apply_change(lambda: self.state.apply(outcome, evidence))

    def _apply_change(self, change_state: Callable[[], Change]) -> Change:
        """Change the state and announce it, unless the waiting caller gets it as a result."""
        change = change_state()
        if change is Change.VISIBLE and not self._caller_waiting:
            self._notifier.announce()
        return change

    def _before_record(self) -> None:
        """Update metrics and search attributes before a state is recorded."""
        self._state_metrics.observe(self.state)
        self._update_search_attributes()

    def _update_search_attributes(self) -> None:
        self._temporal_ui.update_search_attributes(self._notifier.webhook_state)
