"""Void of a preauth: the cancellation of its reservation at the PSP."""

import asyncio
from datetime import timedelta

from temporalio import workflow

from integrator.contract.enums import (
    PaymentCancellationStatus,
    PaymentErrorCode,
    PaymentTransactionStatus,
)
from integrator.psp.types import Approved, Declined, Pending
from workflows import activity_plans, timeouts
from workflows.messages import CancelReply, PspReply
from workflows.psp_retry import send_until_known
from workflows.state import EvidenceKind, PreauthState, Refusal
from workflows.transaction_context import TransactionContext

Status = PaymentTransactionStatus
CancelStatus = PaymentCancellationStatus


class PreauthVoid:
    """Voids a preauth; an outcome that the PSP does not answer with comes from a look-up.

    `lock` is held while a caller waits for an answer of the PSP: look-ups do not interfere then.
    """

    def __init__(
        self, context: TransactionContext, state: PreauthState, lock: asyncio.Lock
    ) -> None:
        self._context = context
        self._state = state
        self._lock = lock

    @property
    def needs_lookup(self) -> bool:
        """Return whether the outcome of a void is unknown."""
        void_is_open = self._state.cancelling and not self._state.ended
        return void_is_open and not self._lock.locked()

    @property
    def was_interrupted(self) -> bool:
        """Return whether an earlier run was sending a void that the PSP has not accepted."""
        return self._state.void_open and self._state.void_accepted_at is None

    async def repeat(self) -> None:
        """Send an interrupted void again, with its key; to be called with the lock."""
        target = self._state.void_target
        if self._state.void_open and target is not None:
            await self._send(target)

    async def release_expired(self) -> None:
        """Void a reservation that the PSP still shows after its end, or repeat such a void.

        Nothing is sent beside a caller's void, and while the PSP carries out one that it has
        accepted.
        """
        state, target = self._state, self._state.void_target
        if target is None or state.void_accepted_at is not None or self._lock.locked():
            return
        async with self._lock:
            if not state.void_open:
                state.begin_void(expiring=True)
            await self._send_briefly(target)

    async def cancel(self) -> CancelReply:
        """Void the preauth, unless its state forbids it; to be called with the lock."""
        if self._state.status is Status.Cancelled:
            return CancelReply(status=CancelStatus.Succeeded)
        refusal = self._state.check_cancel()
        if refusal is not None:
            return CancelReply(status=CancelStatus.NotCancelled, refusal=refusal)
        target = self._state.void_target
        if target is None:
            self._apply_cancellation(EvidenceKind.NOT_SENT)
            return CancelReply(status=CancelStatus.Succeeded)
        # Captures are refused while this is set.
        self._state.begin_void()
        return await self._send(target)

    async def _send_briefly(self, target: str) -> None:
        """Send a void for which no caller waits; a refusal is a matter for operators."""
        await self._send(target, timeouts.VOID_REPEAT_WINDOW)
        if not self._state.ended and not self._state.void_open:
            self._state.flag_attention(
                "The PSP refuses to release the reservation, which it still shows. Look there "
                "whether it was captured."
            )

    async def _send(self, target: str, window: timedelta | None = None) -> CancelReply:
        call = self._context.psp_call(f"void/{self._state.voids}", psp_id=target)
        seconds = self._context.start.key_window_seconds
        if window is not None and seconds > 0:
            seconds = min(seconds, int(window.total_seconds()))
        reply = await send_until_known(activity_plans.VOID, call, seconds)
        if reply is not None and reply.stored_version is not None:
            return await self._take_over_stored_state(window)
        return self._fold(reply)

    async def _take_over_stored_state(self, window: timedelta | None) -> CancelReply:
        """Continue from the store's newer state: nothing was sent."""
        await self._context.merge_stored_state()
        if self._state.status is Status.Cancelled:
            return CancelReply(status=CancelStatus.Succeeded)
        target, refusal = self._state.void_target, self._state.check_cancel()
        if self._state.void_open and target is not None:
            return await self._send(target, window)
        if refusal is None:
            return CancelReply(status=CancelStatus.Failed)
        return CancelReply(status=CancelStatus.NotCancelled, refusal=refusal)

    async def check_lookup(self, reply: PspReply) -> None:
        """Repeat a void without an answer if a look-up shows that the money is still held.

        Without the patch: a history from before, which ended the void.
        """
        still_held = isinstance(reply.outcome, Approved)
        if not self._state.cancelling or not still_held or self._lock.locked():
            return
        accepted_at, target = self._state.void_accepted_at, self._state.void_target
        if accepted_at is None:
            if target is None or not workflow.patched("repeat-unanswered-void"):
                self._state.end_void()
                return
            async with self._lock:
                await self._send_briefly(target)
        elif workflow.now() - accepted_at > timeouts.VOID_GRACE:
            self._state.flag_attention("The PSP accepted a cancellation and never carried it out.")
            self._state.end_void()

    def _fold(self, reply: PspReply | None) -> CancelReply:
        match reply.outcome if reply is not None else None:
            case Approved() | Declined(status=Status.Cancelled):
                self._apply_cancellation(EvidenceKind.VOID)
                return CancelReply(status=CancelStatus.Succeeded)
            case Declined() as declined:
                self._state.end_void()
                rejected = declined.code is PaymentErrorCode.LoginError
                if rejected and workflow.patched("look-up-after-refused-void"):
                    # That says nothing about an earlier attempt of this void.
                    self._context.request_lookup()
                return cancel_refusal_reply(declined)
            case Pending():
                self._state.accept_void(workflow.now())
                return CancelReply(status=CancelStatus.Pending)
            case _:
                return CancelReply(status=CancelStatus.Pending)

    def _apply_cancellation(self, evidence: EvidenceKind) -> None:
        status = Status.Expired if self._state.expiring else Status.Cancelled
        ended = Declined(code=PaymentErrorCode.Canceled, message=f"{status.name}.", status=status)
        self._context.apply(ended, evidence, "void")


def cancel_refusal_reply(declined: Declined) -> CancelReply:
    """Return the reply to a cancellation that the PSP declined."""
    if declined.code is PaymentErrorCode.LoginError:
        refusal = Refusal(code=declined.code, message=declined.message or "")
        return CancelReply(status=CancelStatus.NotCancelled, refusal=refusal)
    return CancelReply(status=CancelStatus.Failed)
