"""Workflow of a refund: money of a payment given back, in whole or in part."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows import activity_plans
    from workflows.deadlines import Deadline
    from workflows.lookup import Lookup
    from workflows.messages import RefundInput
    from workflows.psp_operation import PspOperation
    from workflows.reservation_client import ReservationClient
    from workflows.state import RefundState, TransactionKind
    from workflows.transaction_context import TransactionContext
    from workflows.transaction_workflow import TransactionWorkflow


@workflow.defn(name="RefundWorkflow")
class RefundWorkflow(TransactionWorkflow):
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
        context = TransactionContext(start, state)
        reservation = ReservationClient(context, TransactionKind.PAYMENT, start.payment_id)
        operation = PspOperation(context, reservation, activity_plans.REFUND)
        lookup = Lookup(context, operation, activity_plans.FETCH_REFUND)
        super().__init__(context, operation, lookup, Deadline())

    @workflow.run
    async def run(self, start: RefundInput) -> str:
        """Run until the refund succeeded or failed; return the last status."""
        return await self._run()
