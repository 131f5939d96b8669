"""A refund: money of a payment given back, in whole or in part."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities import plan
    from workflows.base import TransactionWorkflow
    from workflows.messages import RefundInput, Settlement
    from workflows.state import Kind, RefundState


@workflow.defn(name="RefundWorkflow")
class RefundWorkflow(TransactionWorkflow[RefundInput, RefundState]):
    """Answers the messages every transaction answers; its payment holds its reservation."""

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
        self._prepare(start, state, plan.FETCH_REFUND)

    @workflow.run
    async def run(self, start: RefundInput) -> str:
        """Live until the money is back or surely is not; returns the last status."""
        await self._live()
        return self.state.status.name

    async def _operate(self) -> None:
        await self._call(plan.REFUND, self._psp_call("refund", owner_id=self._start.payment_id))

    def _owner(self) -> tuple[Kind, str] | None:
        return Kind.PAYMENT, self._start.payment_id

    def _settlement(self, state: RefundState) -> Settlement:
        refund = state.booked()
        return Settlement(by=self._start.transaction_id, booked=refund is not None, refund=refund)
