"""Workflow of a payment: a capture or a charge, its refunds and chargebacks."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows import activity_plans
    from workflows.deadlines import ChargebackWindow
    from workflows.lookup import Lookup
    from workflows.messages import (
        CLOSE_RESERVATION,
        RECORD_EXTERNAL_MOVEMENT,
        RESERVE,
        PaymentInput,
        ReservationResult,
        ReserveReply,
        ReserveRequest,
    )
    from workflows.psp_operation import PspOperation
    from workflows.reservation_client import ReservationClient
    from workflows.state import AttemptCheck, ExternalMovement, PaymentState, TransactionKind
    from workflows.transaction_context import TransactionContext
    from workflows.transaction_workflow import TransactionWorkflow


@workflow.defn(name="PaymentWorkflow")
class PaymentWorkflow(TransactionWorkflow):
    """Adds the signals `settle` and `adopt`, and the update `reserve`: the refund needs the result.

    A capture holds a reservation at its preauth, a charge holds none.
    """

    @workflow.init
    def __init__(self, start: PaymentInput) -> None:
        self._state = start.resume or PaymentState(
            transaction_id=start.transaction_id,
            external_id=start.external_id,
            role=start.role,
            currency=start.currency,
            requested_amount=start.requested_amount,
            due_date=start.execute_on,
            send_at=start.send_at,
            last_updated=workflow.now(),
        )
        context = TransactionContext(start, self._state)
        operation = PspOperation(
            context,
            ReservationClient(context, TransactionKind.PREAUTH, start.preauth_id),
            activity_plans.CHARGE if start.preauth_id is None else activity_plans.CAPTURE,
        )
        lookup = Lookup(
            context, operation, activity_plans.FETCH_PAYMENT, due_date=self._state.due_date
        )
        super().__init__(context, operation, lookup, ChargebackWindow(self._state))

    @workflow.run
    async def run(self, start: PaymentInput) -> str:
        """Run until failed or until the chargeback window ends; return the last status."""
        return await self._run()

    @workflow.signal(name=CLOSE_RESERVATION)
    def close_reservation(self, settlement: ReservationResult) -> None:
        """Book a refund, or release its reservation if it failed.

        Billwerk+ learns of it by the refund's own change notification.
        """
        if not self._holds_back(settlement):
            self._apply_result(settlement)

    def _apply_result(self, result: ReservationResult) -> None:
        if self._state.accepts_result(result.by, result.at, booked=result.booked):
            self._state.close_reservation(result.by, result.refund, workflow.now())

    @workflow.signal(name=RECORD_EXTERNAL_MOVEMENT)
    def record_external_movement(self, movement: ExternalMovement) -> None:
        """Record an external refund; Billwerk+ learns of it by the payment's notification."""
        change = self._state.record_external_movement(movement, workflow.now())
        self._context.announce_change(change)

    @workflow.update(name=RESERVE)
    async def reserve(self, request: ReserveRequest) -> ReserveReply:
        """Reserve a part of the money for a refund."""
        self._context.report_stored_version(request.stored_version)
        await self._merger.wait_until_merged()
        await self._context.wait_until_recorded(request.stored_version)
        check = self._state.check_attempt(request.by, request.at)
        if check is not AttemptCheck.GRANTED:
            return ReserveReply.from_attempt_check(check)
        refusal = self._state.reserve(request.by, request.amount, request.currency)
        return ReserveReply(psp_id=self._state.psp_transaction_id, refusal=refusal)
