"""Workflow of a refund: money of a payment given back, in whole or in part."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows import activity_plans
    from workflows.messages import RefundInput, ReservationResult
    from workflows.state import RefundState, TransactionKind
    from workflows.transaction_workflow import TransactionWorkflow


@workflow.defn(name="RefundWorkflow")
class RefundWorkflow(TransactionWorkflow[RefundInput, RefundState]):
    """Has the common messages only; its payment holds its reservation."""

    @workflow.init
    def __init__(self, start: RefundInput) -> None:
        state = start.resume or RefundState(
            transaction_id=start.transaction_id,
            external_id=start.external_id,
            role=start.role,
            currency=start.currency,
            requested_amount=start.requested_amount,
            payment_id=start.payment_id,
            last_updated=workflow.now(),
        )
        self._prepare(start, state, activity_plans.FETCH_REFUND)

    @workflow.run
    async def run(self, start: RefundInput) -> str:
        """Run until the refund succeeded or failed; return the last status."""
        await self._run()
        return self.state.status.name

    async def _run_operation(self) -> None:
        await self._call(
            activity_plans.REFUND, self._psp_call("refund", owner_id=self._start.payment_id)
        )

    def _parent_transaction(self) -> tuple[TransactionKind, str] | None:
        return TransactionKind.PAYMENT, self._start.payment_id

    def _reservation_result(self, state: RefundState) -> ReservationResult:
        refund = state.booked_refund()
        return ReservationResult(
            by=self._start.transaction_id, booked=refund is not None, refund=refund
        )
