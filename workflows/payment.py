"""A payment: a capture or a charge, its refunds and chargebacks, until nothing more can come."""

from datetime import UTC, datetime, time

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities import plan
    from contract.enums import PaymentTransactionStatus
    from workflows import timers
    from workflows.base import TransactionWorkflow
    from workflows.messages import (
        ADOPT,
        RESERVE,
        SETTLE,
        PaymentInput,
        ReserveReply,
        ReserveRequest,
        Settlement,
    )
    from workflows.state import Admission, Adoption, Kind, PaymentState


@workflow.defn(name="PaymentWorkflow")
class PaymentWorkflow(TransactionWorkflow[PaymentInput, PaymentState]):
    """Messages of its own: `reserve` (update: the refund needs the answer), `settle` and `adopt`
    (signals)."""

    @workflow.init
    def __init__(self, start: PaymentInput) -> None:
        state = start.resume or PaymentState(
            transaction_id=start.transaction_id,
            external_id=start.external_id,
            role=start.role,
            currency=start.currency,
            requested_amount=start.requested_amount,
            due_date=start.execute_on,
            last_updated=workflow.now(),
        )
        self._prepare(start, state, plan.FETCH_PAYMENT)
        self._window_closed = False

    @workflow.run
    async def run(self, start: PaymentInput) -> str:
        """Live until failed or until no chargeback can come any more; returns the last status."""
        await self._live()
        return self.state.status.name

    @workflow.update(name=RESERVE)
    def reserve(self, request: ReserveRequest) -> ReserveReply:
        """A refund wants a part of the money."""
        admission = self.state.admit(request.by, request.at)
        if admission is not Admission.GRANTED:
            return ReserveReply.turned_away(admission)
        refusal = self.state.reserve(request.by, request.amount, request.currency)
        return ReserveReply(psp_id=self.state.psp_transaction_id, refusal=refusal)

    @workflow.signal(name=SETTLE)
    def settle(self, settlement: Settlement) -> None:
        """A refund is done, or has failed and gives its part back.

        Billwerk+ hears of it by the refund's own notification.
        """
        if not self.state.heeds(settlement.by, settlement.at, booked=settlement.booked):
            return
        self.state.settle(settlement.by, settlement.refund, workflow.now())

    @workflow.signal(name=ADOPT)
    def adopt(self, adoption: Adoption) -> None:
        """A refund was made without us; Billwerk+ hears of it by the payment's notification."""
        self._note(lambda: self.state.adopt(adoption, workflow.now()))

    async def _operate(self) -> None:
        if self._start.preauth_id is None:
            await self._call(plan.CHARGE, self._psp_call("charge"))
        else:
            call = self._psp_call("capture", owner_id=self._start.preauth_id)
            await self._call(plan.CAPTURE, call)

    def _too_late(self) -> datetime:
        if self.state.due_date is None:
            return super()._too_late()
        due = datetime.combine(self.state.due_date, time(), UTC)
        return max(super()._too_late(), due + timers.UNDECIDED_TOO_LONG)

    def _owner(self) -> tuple[Kind, str] | None:
        if self._start.preauth_id is None:
            return None
        return Kind.PREAUTH, self._start.preauth_id

    def _finished(self) -> bool:
        done = self.state.ended or (self._window_closed and not self.state.reservations)
        return done and self._at_rest()

    def _deadline(self) -> datetime | None:
        if self.state.status is not PaymentTransactionStatus.Succeeded or self._window_closed:
            return None
        return self.state.succeeded_at + timers.CHARGEBACK_WINDOW

    async def _on_deadline(self) -> None:
        self._window_closed = True
