"""The money operation of a transaction at the PSP, and how its outcome becomes the state."""

import asyncio
from contextlib import suppress
from datetime import datetime

from temporalio import workflow

from integrator.psp.types import Outcome, Pending
from workflows import timeouts
from workflows.activity_plans import ActivityPlan
from workflows.messages import PspCall, PspReply
from workflows.psp_retry import send_until_known
from workflows.reservation_client import ReservationClient
from workflows.state import Decision, Evidence, EvidenceKind, PaymentState, Refusal
from workflows.transaction_context import TransactionContext


class PspOperation:
    """Sends the operation of `plan`, and folds outcomes into the state from wherever they come.

    A failure releases the reservation before the failure is visible: a reader may request the same
    money at once. Before that the attempts to send are cancelled: the next one would reserve again.
    """

    def __init__(
        self,
        context: TransactionContext,
        reservation: ReservationClient,
        plan: ActivityPlan[PspCall, PspReply],
    ) -> None:
        self._context = context
        self._state = context.state
        self.reservation = reservation
        self._plan = plan
        self._sending = False
        self._sending_cancelled = False

    async def run(self) -> None:
        """Send the operation, on its day, and fold its result, which may stay unknown."""
        try:
            if await self._wait_for_day():
                await self._fold_reply(await self._send())
        finally:
            self._context.operation_running = False

    async def _wait_for_day(self) -> bool:
        """Wait until a debit may be sent; return False if it has an outcome by then.

        The caller is answered Pending at once. Nothing is asked meanwhile: an absence at the PSP
        proves nothing about what was not sent.
        """
        if self._state.waiting_until is None:
            return True
        self._context.waiting_for_day = True
        self._context.announce_change(self._state.mark_pending(workflow.now()))
        try:
            while not self._sending_cancelled:
                send_at = self._state.waiting_until
                if send_at is None or send_at <= workflow.now():
                    break
                await self._sleep_until(send_at)
        finally:
            self._context.waiting_for_day = False
        return self._state.waiting_until is not None

    async def _sleep_until(self, send_at: datetime) -> None:
        """Sleep until a debit may be sent, or until it has an outcome."""
        day = self._state.due_date if isinstance(self._state, PaymentState) else None
        summary = f"the debit of {day} is sent at {send_at:%Y-%m-%d %H:%M:%S} UTC"
        with suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: self._sending_cancelled or self._state.waiting_until != send_at,
                timeout=min(send_at - workflow.now(), timeouts.MAX_TIMER),
                timeout_summary=summary,
            )

    async def _send(self) -> PspReply | None:
        """Send until there is a result, or until the PSP has reported a failure by other means.

        Then the attempts are cancelled, so that their reservation can be released; the effect of
        the last one is looked up.
        """
        if self._sending_cancelled:
            return None
        call = self._context.psp_call(self._plan.name, owner_id=self.reservation.parent_id)
        window = self._context.start.key_window_seconds
        sending = asyncio.create_task(send_until_known(self._plan, call, window))
        self._sending = True
        await workflow.wait_condition(lambda: sending.done() or self._sending_cancelled)
        self._sending = False
        if sending.done():
            return sending.result()
        sending.cancel()
        await workflow.wait_condition(sending.done)
        if not sending.cancelled():
            sending.exception()  # retrieved, or asyncio logs it as never retrieved
        self._context.request_lookup()
        return None

    async def _fold_reply(self, reply: PspReply | None) -> None:
        source = self._plan.name
        if reply is None:
            if not self._sending_cancelled:
                self._context.apply(Pending(psp_id=None), EvidenceKind.ANSWER, source)
                self._state.flag_attention(
                    "The PSP has not answered for as long as it remembers our key."
                )
        elif reply.stored_version is not None and reply.outcome is None:
            await self._take_over_stored_state()
        elif reply.outcome is not None:
            self._context.flag_doubts(reply.doubts)
            await self.fold(reply.outcome, reply.evidence, source, reservation_closed=reply.settled)

    async def _take_over_stored_state(self) -> None:
        """Continue from the store's state: it has an outcome, so nothing was sent."""
        if not self._state.answered:
            await self._context.merge_stored_state()

    async def fold(
        self,
        outcome: Outcome,
        kind: EvidenceKind,
        source: str,
        *,
        reservation_closed: bool = False,
    ) -> None:
        """Fold an outcome into the state; a failure only after its reservation is released."""
        next_state = self._state.model_copy(deep=True)
        next_state.apply(outcome, Evidence(kind=kind, source=source, at=workflow.now()))
        if reservation_closed:
            self.reservation.mark_closed(next_state)
        if next_state.ended and not self._state.ended:
            await self._cancel_sending()
            await self.reservation.close(next_state)
        self._context.apply(outcome, kind, source)
        await self.reservation.close(self._state)

    async def apply_decision(self, decision: Decision) -> Refusal | None:
        """Apply a decision like an outcome; reports of the PSP that arrive meanwhile win."""
        next_state = self._state.model_copy(deep=True)
        next_state.apply_decision(decision)
        if next_state.status is self._state.status:
            self._state.apply_decision(decision)
            return None
        self._context.released = True
        await self._cancel_sending()
        if next_state.ended:
            await self.reservation.close(next_state)
        refusal = self._state.check_decision(decision)
        if refusal is None:
            self._context.announce_change(self._state.apply_decision(decision))
        else:
            # A transaction that goes on may still have to send.
            self._sending_cancelled = self._state.ended
        await self.reservation.close(self._state)
        return refusal

    async def _cancel_sending(self) -> None:
        """Stop sending and wait until no attempt is running."""
        self._sending_cancelled = True
        await workflow.wait_condition(lambda: not self._sending)
