"""How a transaction deals with its PSP: sending, listening, asking, and what follows from it.

Whatever is learned is folded into the one state; whoever holds money for the transaction is told.
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
    """The state of a transaction, and everything that may change it."""

    state: S

    def _prepare(
        self, start: I, state: S, fetch: activity_plans.ActivityPlan[PspCall, PspReply]
    ) -> None:
        self._start = start
        self.state = state
        self._fetch = fetch
        resumed = start.resume is not None
        self._released = resumed
        self._operating = False
        self._sending = False
        self._failing = False
        self._caller_waits = False
        self._caller_left = False
        self._inbox: list[NotificationSignal] = []
        self._look_ups = LookupSchedule()
        self._watcher = StateMetrics(start, state, resumed=resumed)
        self._display = TemporalUi(
            start,
            lambda: self.state,
            lambda: self._announcer.delivery,
            lambda: self._look_ups.next_at,
        )
        self._recorder = SnapshotRecorder(
            start, lambda: self.state, self._activates_agreement, self._see, self._on_recorded
        )
        self._announcer = ChangeNotifier(
            start,
            lambda: self.state,
            lambda: self._recorder.version,
            self._index,
            self._display.webhook_before,
        )
        self._reported_reservation: ReservationResult | None = None
        self._reservation_lock = asyncio.Lock()

    # --- what a subclass brings -----------------------------------------------------------

    @abstractmethod
    async def _operate(self) -> None:
        """The PSP operation the request asked for."""

    def _owner(self) -> tuple[TransactionKind, str] | None:
        """The transaction that holds a reservation for this one."""
        return None

    def _settlement(self, state: S) -> ReservationResult:
        """How this transaction's reservation ended; asked only when it has."""
        return ReservationResult(by=self._start.transaction_id, booked=not state.ended)

    def _activates_agreement(self) -> bool:
        """Whether the record to be written makes the agreement usable."""
        return False

    def _on_recorded(self, activated: bool) -> None:
        """Called after every record."""

    # --- the operation --------------------------------------------------------------------

    async def _operate_once(self) -> None:
        try:
            await self._operate()
        finally:
            self._operating = False

    async def _call(
        self, step: activity_plans.ActivityPlan[PspCall, PspReply], call: PspCall
    ) -> None:
        """Run a money operation and fold its answer; the outcome may stay unknown."""
        reply = await self._send(step, call)
        if reply is None:
            if not self._failing:
                self._apply(Pending(psp_id=None), EvidenceKind.ANSWER, step.name)
                self.state.flag_attention(
                    "The PSP has not answered for as long as it remembers our key."
                )
        elif reply.outcome is not None:
            await self._fold(reply.outcome, reply.evidence, step.name, settled=reply.settled)

    async def _send(
        self, step: activity_plans.ActivityPlan[PspCall, PspReply], call: PspCall
    ) -> PspReply | None:
        """Send until there is an answer, or until the PSP itself has told that it failed.

        Then the attempts are called off, so that what they hold can be given back; what the last
        of them may have done is looked up.
        """
        if self._failing:
            return None
        sending = asyncio.create_task(send_until_known(step, call, self._start.key_window_seconds))
        self._sending = True
        await workflow.wait_condition(lambda: sending.done() or self._failing)
        self._sending = False
        if sending.done():
            return sending.result()
        sending.cancel()
        await workflow.wait_condition(sending.done)
        if not sending.cancelled():
            sending.exception()  # asked for, or asyncio reports it as forgotten
        self._request_lookup()
        return None

    def _psp_call(
        self, step: str, *, psp_id: str | None = None, owner_id: str | None = None
    ) -> PspCall:
        """The key is derived from the workflow's id and the step: the same in every repetition."""
        return PspCall(
            merchant_id=self._start.merchant_id,
            transaction_id=self._start.transaction_id,
            idempotency_key=f"{workflow.info().workflow_id}/{step}",
            psp_id=psp_id,
            owner_id=owner_id,
        )

    # --- the inbox ------------------------------------------------------------------------

    async def _read_inbox(self) -> None:
        """A notification leaves the inbox only after it has been dealt with."""
        while True:
            await workflow.wait_condition(lambda: bool(self._inbox))
            await self._read(self._inbox[0])
            self._inbox.pop(0)

    async def _read(self, notification: NotificationSignal) -> None:
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
        self._look_ups.request(workflow.now())

    async def _look_up(self) -> PspReply | None:
        """Ask the PSP for the truth; None when it is away, which only means asking again later."""
        for psp_id in list(self._look_ups.ids):
            if await self._look_up_under(psp_id) is None:
                return None
            self._look_ups.answered_under(psp_id)
        return await self._look_up_under(self.state.psp_transaction_id or self.state.psp_session_id)

    async def _look_up_under(self, psp_id: str | None) -> PspReply | None:
        call = self._psp_call(self._fetch.name, psp_id=psp_id)
        try:
            reply = await self._fetch(call, summary="look-up at the PSP")
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            return None
        # A read may lag behind the event that asked for it, though not for ever.
        self._look_ups.answered(lags=reply.outcome is None and not reply.absence_proven)
        if reply.outcome is not None:
            await self._fold(reply.outcome, reply.evidence, self._fetch.name)
        elif reply.absence_proven and not self._operating and self.state.undecided:
            never_arrived = Declined(
                code=PaymentErrorCode.PSPConnectionTimeout,
                message="The PSP never received the request.",
            )
            await self._fold(never_arrived, EvidenceKind.READ, self._fetch.name)
        if self.state.undecided and workflow.now() > self._overdue_at():
            self.state.flag_attention(
                "The PSP has not decided for a long time; somebody should ask it why."
            )
        self._on_looked_up(reply)
        return reply

    def _on_looked_up(self, reply: PspReply) -> None:
        """Called after every answered look-up."""

    def _is_open_question(self) -> bool:
        """Whether the PSP is to be asked on the schedule."""
        return self.state.undecided and self.state.answered and not self._operating

    def _overdue_at(self) -> datetime:
        """From when on an open answer of the PSP is no longer normal."""
        return workflow.info().start_time + timeouts.UNDECIDED_TOO_LONG

    async def _fold(
        self, outcome: Outcome, kind: EvidenceKind, source: str, *, settled: bool = False
    ) -> None:
        """Take in what the PSP says, and settle with the owner of the reservation.

        A failure gives the reservation back before anybody can see it: who does may ask for the
        same money at once. And before that the attempts are called off: the next one would only
        reserve again.
        """
        then = self.state.model_copy(deep=True)
        then.apply(outcome, Evidence(kind=kind, source=source, at=workflow.now()))
        if settled:
            self._reported_reservation = self._settlement(then)
        if then.ended and not self.state.ended:
            await self._cancel_sending()
            await self._close_reservation(then)
        self._apply(outcome, kind, source)
        await self._close_reservation(self.state)

    async def _cancel_sending(self) -> None:
        """Nothing more is sent, and nothing is under way after this."""
        self._failing = True
        await workflow.wait_condition(lambda: not self._sending)

    async def _apply_decision(self, decision: Decision) -> Refusal | None:
        """As `_fold`, on a person's word; what the PSP says meanwhile comes before it."""
        then = self.state.model_copy(deep=True)
        then.decide(decision)
        if then.status is self.state.status:
            self.state.decide(decision)
            return None
        self._released = True
        await self._cancel_sending()
        if then.ended:
            await self._close_reservation(then)
        refusal = self.state.refuse_decision(decision)
        if refusal is None:
            self._note(lambda: self.state.decide(decision))
        else:
            # What lives on may have more to send: a reservation can be given back.
            self._failing = self.state.ended
        await self._close_reservation(self.state)
        return refusal

    async def _close_reservation(self, state: S) -> None:
        """Tell the owner of the reservation once the outcome is certain.

        In turn: two may learn of the outcome at once, and what is said last must arrive last.
        """
        owner = self._owner()
        if owner is None or state.undecided:
            return
        async with self._reservation_lock:
            settlement = self._settlement(state)
            if settlement == self._reported_reservation:
                return
            kind, owner_id = owner
            await activity_plans.CLOSE_RESERVATION(
                CloseReservationCall(
                    merchant_id=self._start.merchant_id,
                    owner_kind=kind,
                    owner_id=owner_id,
                    settlement=settlement,
                ),
                summary=f"settle with the {kind.value}",
            )
            self._reported_reservation = settlement

    # --- what follows from a change -------------------------------------------------------

    def _apply(self, outcome: Outcome, kind: EvidenceKind, source: str) -> Change:
        evidence = Evidence(kind=kind, source=source, at=workflow.now())
        return self._note(lambda: self.state.apply(outcome, evidence))

    def _note(self, change_state: Callable[[], Change]) -> Change:
        """Change the state; what the waiting caller will be told needs no announcement."""
        change = change_state()
        if change is Change.VISIBLE and not self._caller_waits:
            self._announcer.announce()
        return change

    def _see(self) -> None:
        """Called with every state that is to be kept."""
        self._watcher.see(self.state)
        self._index()

    def _index(self) -> None:
        self._display.index(self._announcer.webhook_state)
