"""Workflow of a preauth: a reservation, a stored payment method or a mandate."""

import asyncio

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows import activity_plans
    from workflows.deadlines import PreauthExpiry
    from workflows.lookup import Lookup
    from workflows.messages import (
        CANCEL,
        CLOSE_RESERVATION,
        FINALIZE,
        RECORD_EXTERNAL_MOVEMENT,
        RESERVE,
        CancelReply,
        PreauthInput,
        ReservationResult,
        ReserveReply,
        ReserveRequest,
    )
    from workflows.preauth_void import PreauthVoid
    from workflows.psp_operation import PspOperation
    from workflows.reservation_client import ReservationClient
    from workflows.state import AttemptCheck, ExternalMovement, PreauthState
    from workflows.transaction_context import TransactionContext
    from workflows.transaction_workflow import TransactionWorkflow


@workflow.defn(name="PreauthWorkflow")
class PreauthWorkflow(TransactionWorkflow):
    """Adds the signals `settle` and `adopt`, which must be durable even while no worker runs, and
    the updates `finalize`, `cancel` and `reserve`, whose callers need the result."""

    @workflow.init
    def __init__(self, start: PreauthInput) -> None:
        self._state = start.resume or PreauthState(
            transaction_id=start.transaction_id,
            external_id=start.external_id,
            role=start.role,
            currency=start.currency,
            requested_amount=start.requested_amount,
            last_updated=workflow.now(),
        )
        self._psp_lock = asyncio.Lock()
        context = TransactionContext(start, self._state)
        self._void = PreauthVoid(context, self._state, self._psp_lock)
        operation = PspOperation(context, ReservationClient(context), activity_plans.AUTHORIZE)
        lookup = Lookup(context, operation, activity_plans.FETCH_AUTHORIZATION, void=self._void)
        expiry = PreauthExpiry(context, self._state, lookup, self._void)
        super().__init__(context, operation, lookup, expiry, activates_agreement=True)

    async def _finish_interrupted(self) -> None:
        await super()._finish_interrupted()
        if self._void.was_interrupted and workflow.patched("repeat-interrupted-void"):
            async with self._psp_lock:
                await self._void.repeat()

    @workflow.run
    async def run(self, start: PreauthInput) -> str:
        """Run until captured, cancelled, expired or failed; return the last status."""
        return await self._run()

    @workflow.signal(name=CLOSE_RESERVATION)
    def close_reservation(self, settlement: ReservationResult) -> None:
        """Book the capture, or release the reservation if it failed."""
        if not self._holds_back(settlement):
            self._apply_result(settlement)

    def _apply_result(self, result: ReservationResult) -> None:
        if not self._state.accepts_result(result.by, result.at, booked=result.booked):
            return
        is_unknown = result.booked and self._state.captured_by is None
        if is_unknown and self._context.start.durable_reads:
            self._state.captured_by = result.by  # neither this run nor the store knows the attempt
        self._state.close_reservation(result.by, result.booked)
        if not result.booked:
            self._context.request_lookup()

    @workflow.signal(name=RECORD_EXTERNAL_MOVEMENT)
    def record_external_movement(self, movement: ExternalMovement) -> None:
        """Record an external capture, which has taken the reservation."""
        change = self._state.record_external_movement(movement, workflow.now())
        self._context.announce_change(change)

    @workflow.update(name=FINALIZE)
    async def finalize(self) -> PreauthState:
        """Ask the PSP after the customer's return; the return URL's parameters are not trusted."""
        await self._merger.wait_until_merged()
        async with self._psp_lock:
            if self._state.undecided:
                await self._lookup.run()
        return self._state

    @workflow.update(name=CANCEL)
    async def cancel(self) -> CancelReply:
        """Void the reservation."""
        await self._merger.wait_until_merged()
        async with self._psp_lock:
            if self._state.check_cancel() is not None:
                await self._merger.compare_with_store()
            return await self._void.cancel()

    @workflow.update(name=RESERVE)
    async def reserve(self, request: ReserveRequest) -> ReserveReply:
        """Reserve for a capture."""
        self._context.report_stored_version(request.stored_version)
        await self._merger.wait_until_merged()
        await self._context.wait_until_recorded(request.stored_version)
        check = self._state.check_attempt(request.by, request.at)
        if check is not AttemptCheck.GRANTED:
            return ReserveReply.from_attempt_check(check)
        refusal = self._state.reserve(request.by, request.amount, request.currency)
        return ReserveReply(
            psp_id=self._state.authorization_id,
            refusal=refusal,
            taken_by=self._state.external_capture_id(request.by),
        )
