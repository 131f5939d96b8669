"""A preauth: a reservation, a stored payment method or a mandate, from sign-up to its end."""

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
        ADOPT,
        CANCEL,
        FINALIZE,
        RESERVE,
        SETTLE,
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
    """Messages of its own: `finalize`, `cancel` and `reserve` are updates, because their callers
    need the answer; `settle` and `adopt` are signals, because they must be kept whoever runs."""

    deadline_is = "end of the checkout page or of the reservation"

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
        self._psp_turn = asyncio.Lock()
        self._agreement_active = state.status is Status.Succeeded
        self._ask_again_at: datetime | None = None

    @workflow.run
    async def run(self, start: PreauthInput) -> str:
        """Live until captured, cancelled, expired or failed; returns the last status."""
        await self._run()
        return self.state.status.name

    @workflow.update(name=FINALIZE)
    async def finalize(self) -> PreauthState:
        """The customer came back: ask the PSP, never the parameters of the return address."""
        async with self._psp_turn:
            if self.state.undecided:
                await self._look_up()
        return self.state

    @workflow.update(name=CANCEL)
    async def cancel(self) -> CancelReply:
        """Give the reservation back."""
        async with self._psp_turn:
            if self.state.status is Status.Cancelled:
                return CancelReply(status=CancelStatus.Succeeded)
            refusal = self.state.refuse_cancel()
            if refusal is not None:
                return CancelReply(status=CancelStatus.NotCancelled, refusal=refusal)
            return await self._void()

    @workflow.update(name=RESERVE)
    def reserve(self, request: ReserveRequest) -> ReserveReply:
        """A capture wants the reservation."""
        admission = self.state.check_attempt(request.by, request.at)
        if admission is not AttemptCheck.GRANTED:
            return ReserveReply.turned_away(admission)
        refusal = self.state.reserve(request.by, request.amount, request.currency)
        return ReserveReply(
            psp_id=self.state.authorization_id,
            refusal=refusal,
            taken_by=self.state.taken_by(request.by),
        )

    @workflow.signal(name=SETTLE)
    def close_reservation(self, settlement: ReservationResult) -> None:
        """The capture is done, or has failed and gives the reservation back."""
        if not self.state.accepts_result(settlement.by, settlement.at, booked=settlement.booked):
            return
        self.state.close_reservation(settlement.by, settlement.booked)
        if not settlement.booked:
            self._request_lookup()

    @workflow.signal(name=ADOPT)
    def record_external_movement(self, adoption: ExternalMovement) -> None:
        """A capture was made without us and has taken the reservation."""
        self._note(lambda: self.state.record_external_movement(adoption, workflow.now()))

    async def _operate(self) -> None:
        await self._call(activity_plans.AUTHORIZE, self._psp_call("authorize"))

    def _activates_agreement(self) -> bool:
        """Only the record of the success itself: a later one must not undo a newer sign-up."""
        return self.state.status is Status.Succeeded and not self._agreement_active

    def _on_recorded(self, activated: bool) -> None:
        self._agreement_active = self._agreement_active or activated

    async def _void(self) -> CancelReply:
        target = self.state.void_target
        if target is None:
            self._cancelled(EvidenceKind.NOT_SENT)
            return CancelReply(status=CancelStatus.Succeeded)
        # No capture may slip in between: captures are refused while this is set.
        self.state.begin_void()
        call = self._psp_call(f"void/{self.state.voids}", psp_id=target)
        return self._fold_void(
            await send_until_known(activity_plans.VOID, call, self._start.key_window_seconds)
        )

    def _fold_void(self, reply: PspReply | None) -> CancelReply:
        match reply.outcome if reply is not None else None:
            case Approved() | Declined(status=Status.Cancelled):
                self._cancelled(EvidenceKind.VOID)
                return CancelReply(status=CancelStatus.Succeeded)
            case Declined() as declined:
                self.state.end_void()
                return refused(declined)
            case Pending():
                self.state.accept_void(workflow.now())
                return CancelReply(status=CancelStatus.Pending)
            case _:
                return CancelReply(status=CancelStatus.Pending)

    def _is_open_question(self) -> bool:
        """A void whose outcome is not known is one, too."""
        void_is_open = self.state.cancelling and not self.state.ended
        return super()._is_open_question() or (void_is_open and not self._psp_turn.locked())

    def _on_looked_up(self, reply: PspReply) -> None:
        still_held = isinstance(reply.outcome, Approved)
        if not self.state.cancelling or not still_held or self._psp_turn.locked():
            return
        accepted_at = self.state.void_accepted_at
        if accepted_at is None:
            self.state.end_void()
        elif workflow.now() - accepted_at > timeouts.VOID_PATIENCE:
            self.state.flag_attention("The PSP accepted a cancellation and never carried it out.")
            self.state.end_void()

    def _cancelled(self, evidence: EvidenceKind) -> None:
        withdrawn = Declined(
            code=PaymentErrorCode.Canceled, message="Cancelled.", status=Status.Cancelled
        )
        self._apply(withdrawn, evidence, "void")

    def _deadline(self) -> datetime | None:
        ends = self.state.ends_at
        return max(ends, self._ask_again_at or ends) if ends else None

    async def _on_deadline(self) -> None:
        """The PSP has the last word on whether time ran out; ours is its own declared end."""
        reply = await self._look_up()
        ends, now = self.state.ends_at, workflow.now()
        if ends is None or ends > now:
            return
        lapsed = reply is not None and not isinstance(reply.outcome, Pending)
        if lapsed and now >= ends + timeouts.EXPIRY_GRACE:
            ran_out = Declined(
                code=PaymentErrorCode.Canceled, message="Expired.", status=Status.Expired
            )
            self._apply(ran_out, EvidenceKind.READ, "expiry")
        else:
            self._ask_again_at = now + timeouts.EXPIRY_RETRY


def refused(declined: Declined) -> CancelReply:
    """The PSP does not give the reservation back; bad credentials are an error of their own."""
    if declined.code is PaymentErrorCode.LoginError:
        refusal = Refusal(code=declined.code, message=declined.message or "")
        return CancelReply(status=CancelStatus.NotCancelled, refusal=refusal)
    return CancelReply(status=CancelStatus.Failed)
