"""Workflow of a preauth: a reservation, a stored payment method or a mandate."""

import asyncio
from datetime import datetime

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from integrator.contract.enums import (
        PaymentCancellationStatus,
        PaymentErrorCode,
        PaymentTransactionStatus,
    )
    from integrator.psp.types import Approved, Declined, Pending
    from workflows import activity_plans, timeouts
    from workflows.messages import (
        CANCEL,
        CLOSE_RESERVATION,
        FINALIZE,
        RECORD_EXTERNAL_MOVEMENT,
        RESERVE,
        CancelReply,
        PreauthInput,
        PspReply,
        ReservationResult,
        ReserveReply,
        ReserveRequest,
    )
    from workflows.psp_retry import send_until_known
    from workflows.state import AttemptCheck, EvidenceKind, ExternalMovement, PreauthState, Refusal
    from workflows.transaction_workflow import TransactionWorkflow

Status = PaymentTransactionStatus
CancelStatus = PaymentCancellationStatus


@workflow.defn(name="PreauthWorkflow")
class PreauthWorkflow(TransactionWorkflow[PreauthInput, PreauthState]):
    """Adds the updates `finalize`, `cancel` and `reserve`, whose callers need the result, and the
    signals `settle` and `adopt`, which must be durable even while no worker runs."""

    deadline_summary = "end of the checkout page or of the reservation"

    @workflow.init
    def __init__(self, start: PreauthInput) -> None:
        state = start.resume or PreauthState(
            transaction_id=start.transaction_id,
            external_id=start.external_id,
            role=start.role,
            currency=start.currency,
            requested_amount=start.requested_amount,
            last_updated=workflow.now(),
        )
        self._prepare(start, state, activity_plans.FETCH_AUTHORIZATION)
        self._psp_lock = asyncio.Lock()
        self._agreement_active = state.status is Status.Succeeded
        self._next_expiry_check: datetime | None = None

    @workflow.run
    async def run(self, start: PreauthInput) -> str:
        """Run until captured, cancelled, expired or failed; return the last status."""
        await self._run()
        return self.state.status.name

    @workflow.update(name=FINALIZE)
    async def finalize(self) -> PreauthState:
        """Ask the PSP after the customer's return; the return URL's parameters are not trusted."""
        async with self._psp_lock:
            if self.state.undecided:
                await self._look_up()
        return self.state

    @workflow.update(name=CANCEL)
    async def cancel(self) -> CancelReply:
        """Void the reservation."""
        async with self._psp_lock:
            if self.state.status is Status.Cancelled:
                return CancelReply(status=CancelStatus.Succeeded)
            refusal = self.state.check_cancel()
            if refusal is not None:
                return CancelReply(status=CancelStatus.NotCancelled, refusal=refusal)
            return await self._void()

    @workflow.update(name=RESERVE)
    def reserve(self, request: ReserveRequest) -> ReserveReply:
        """Reserve for a capture."""
        check = self.state.check_attempt(request.by, request.at)
        if check is not AttemptCheck.GRANTED:
            return ReserveReply.from_attempt_check(check)
        refusal = self.state.reserve(request.by, request.amount, request.currency)
        return ReserveReply(
            psp_id=self.state.authorization_id,
            refusal=refusal,
            taken_by=self.state.external_capture_id(request.by),
        )

    @workflow.signal(name=CLOSE_RESERVATION)
    def close_reservation(self, settlement: ReservationResult) -> None:
        """Book the capture, or release the reservation if it failed."""
        if not self.state.accepts_result(settlement.by, settlement.at, booked=settlement.booked):
            return
        self.state.close_reservation(settlement.by, settlement.booked)
        if not settlement.booked:
            self._request_lookup()

    @workflow.signal(name=RECORD_EXTERNAL_MOVEMENT)
    def record_external_movement(self, movement: ExternalMovement) -> None:
        """Record an external capture, which has taken the reservation."""
        self._apply_change(lambda: self.state.record_external_movement(movement, workflow.now()))

    async def _run_operation(self) -> None:
        await self._call(activity_plans.AUTHORIZE, self._psp_call("authorize"))

    def _activates_agreement(self) -> bool:
        """Return True for the record of the success; a later one could undo a newer sign-up."""
        return self.state.status is Status.Succeeded and not self._agreement_active

    def _on_recorded(self, activated: bool) -> None:
        self._agreement_active = self._agreement_active or activated

    async def _void(self) -> CancelReply:
        target = self.state.void_target
        if target is None:
            self._apply_cancellation(EvidenceKind.NOT_SENT)
            return CancelReply(status=CancelStatus.Succeeded)
        # Captures are refused while this is set.
        self.state.begin_void()
        call = self._psp_call(f"void/{self.state.voids}", psp_id=target)
        return self._fold_void(
            await send_until_known(activity_plans.VOID, call, self._start.key_window_seconds)
        )

    def _fold_void(self, reply: PspReply | None) -> CancelReply:
        match reply.outcome if reply is not None else None:
            case Approved() | Declined(status=Status.Cancelled):
                self._apply_cancellation(EvidenceKind.VOID)
                return CancelReply(status=CancelStatus.Succeeded)
            case Declined() as declined:
                self.state.end_void()
                return cancel_refusal_reply(declined)
            case Pending():
                self.state.accept_void(workflow.now())
                return CancelReply(status=CancelStatus.Pending)
            case _:
                return CancelReply(status=CancelStatus.Pending)

    def _needs_scheduled_lookup(self) -> bool:
        """Return True also while the outcome of a void is unknown."""
        void_is_open = self.state.cancelling and not self.state.ended
        return super()._needs_scheduled_lookup() or (void_is_open and not self._psp_lock.locked())

    def _on_lookup_answer(self, reply: PspReply) -> None:
        still_held = isinstance(reply.outcome, Approved)
        if not self.state.cancelling or not still_held or self._psp_lock.locked():
            return
        accepted_at = self.state.void_accepted_at
        if accepted_at is None:
            self.state.end_void()
        elif workflow.now() - accepted_at > timeouts.VOID_GRACE:
            self.state.flag_attention("The PSP accepted a cancellation and never carried it out.")
            self.state.end_void()

    def _apply_cancellation(self, evidence: EvidenceKind) -> None:
        cancelled = Declined(
            code=PaymentErrorCode.Canceled, message="Cancelled.", status=Status.Cancelled
        )
        self._apply(cancelled, evidence, "void")

    def _deadline(self) -> datetime | None:
        ends = self.state.ends_at
        return max(ends, self._next_expiry_check or ends) if ends else None

    async def _on_deadline(self) -> None:
        """Ask the PSP whether the reservation expired; after a grace period expire it here."""
        reply = await self._look_up()
        ends, now = self.state.ends_at, workflow.now()
        if ends is None or ends > now:
            return
        lapsed = reply is not None and not isinstance(reply.outcome, Pending)
        if lapsed and now >= ends + timeouts.EXPIRY_GRACE:
            expired = Declined(
                code=PaymentErrorCode.Canceled, message="Expired.", status=Status.Expired
            )
            self._apply(expired, EvidenceKind.READ, "expiry")
        else:
            self._next_expiry_check = now + timeouts.EXPIRY_RETRY


def cancel_refusal_reply(declined: Declined) -> CancelReply:
    """Return the reply to a cancellation that the PSP declined."""
    if declined.code is PaymentErrorCode.LoginError:
        refusal = Refusal(code=declined.code, message=declined.message or "")
        return CancelReply(status=CancelStatus.NotCancelled, refusal=refusal)
    return CancelReply(status=CancelStatus.Failed)
