"""Workflow of a payment: a capture or a charge, its refunds and chargebacks."""

from datetime import UTC, datetime, time

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from integrator.contract.enums import PaymentTransactionStatus
    from workflows import activity_plans, timeouts
    from workflows.messages import (
        CLOSE_RESERVATION,
        RECORD_EXTERNAL_MOVEMENT,
        RESERVE,
        PaymentInput,
        ReservationResult,
        ReserveReply,
        ReserveRequest,
    )
    from workflows.state import AttemptCheck, ExternalMovement, PaymentState, TransactionKind
    from workflows.transaction_workflow import TransactionWorkflow


@workflow.defn(name="PaymentWorkflow")
class PaymentWorkflow(TransactionWorkflow[PaymentInput, PaymentState]):
    """Adds `reserve` (an update: the refund needs the result), `settle` and `adopt` (signals)."""

    deadline_summary = "end of the chargeback window"

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
        self._prepare(start, state, activity_plans.FETCH_PAYMENT)
        self._chargeback_window_closed = False

    @workflow.run
    async def run(self, start: PaymentInput) -> str:
        """Run until failed or until the chargeback window ends; return the last status."""
        await self._run()
        return self.state.status.name

    @workflow.update(name=RESERVE)
    def reserve(self, request: ReserveRequest) -> ReserveReply:
        """Reserve a part of the money for a refund."""
        check = self.state.check_attempt(request.by, request.at)
        if check is not AttemptCheck.GRANTED:
            return ReserveReply.from_attempt_check(check)
        refusal = self.state.reserve(request.by, request.amount, request.currency)
        return ReserveReply(psp_id=self.state.psp_transaction_id, refusal=refusal)

    @workflow.signal(name=CLOSE_RESERVATION)
    def close_reservation(self, settlement: ReservationResult) -> None:
        """Book a refund, or release its reservation if it failed.

        Billwerk+ learns of it by the refund's own change notification.
        """
        if not self.state.accepts_result(settlement.by, settlement.at, booked=settlement.booked):
            return
        self.state.close_reservation(settlement.by, settlement.refund, workflow.now())

    @workflow.signal(name=RECORD_EXTERNAL_MOVEMENT)
    def record_external_movement(self, movement: ExternalMovement) -> None:
        """Record an external refund; Billwerk+ learns of it by the payment's notification."""
        self._apply_change(lambda: self.state.record_external_movement(movement, workflow.now()))

    async def _run_operation(self) -> None:
        if self._start.preauth_id is None:
            await self._call(activity_plans.CHARGE, self._psp_call("charge"))
        else:
            call = self._psp_call("capture", owner_id=self._start.preauth_id)
            await self._call(activity_plans.CAPTURE, call)

    def _overdue_at(self) -> datetime:
        if self.state.due_date is None:
            return super()._overdue_at()
        due = datetime.combine(self.state.due_date, time(), UTC)
        return max(super()._overdue_at(), due + timeouts.UNDECIDED_LIMIT)

    def _parent_transaction(self) -> tuple[TransactionKind, str] | None:
        if self._start.preauth_id is None:
            return None
        return TransactionKind.PREAUTH, self._start.preauth_id

    def _is_finished(self) -> bool:
        done = self.state.ended or (self._chargeback_window_closed and not self.state.reservations)
        return done and self._is_idle()

    def _deadline(self) -> datetime | None:
        if (
            self.state.status is not PaymentTransactionStatus.Succeeded
            or self._chargeback_window_closed
        ):
            return None
        return self.state.succeeded_at + timeouts.CHARGEBACK_WINDOW

    async def _on_deadline(self) -> None:
        self._chargeback_window_closed = True
