"""Look-ups of a transaction at the PSP."""

from datetime import UTC, date, datetime, time

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

from integrator.contract import times
from integrator.contract.enums import PaymentErrorCode
from integrator.psp.types import Declined
from workflows import timeouts
from workflows.activity_plans import ActivityPlan
from workflows.messages import PspCall, PspReply
from workflows.preauth_void import PreauthVoid
from workflows.psp_operation import PspOperation
from workflows.state import EvidenceKind
from workflows.transaction_context import TransactionContext

NEVER_ARRIVED = Declined(
    code=PaymentErrorCode.PSPConnectionTimeout, message="The PSP never received the request."
)


class Lookup:
    """Asks the PSP by the read of `plan`, under the transaction's PSP id and those on the schedule.

    A payment is not overdue before its `due_date`; the outcome of a `void` is looked up, too.
    """

    def __init__(
        self,
        context: TransactionContext,
        operation: PspOperation,
        plan: ActivityPlan[PspCall, PspReply],
        *,
        due_date: date | None = None,
        void: PreauthVoid | None = None,
    ) -> None:
        self._context = context
        self._state = context.state
        self._schedule = context.lookup_schedule
        self._operation = operation
        self._plan = plan
        self._due_date = due_date
        self._void = void

    @property
    def outcome_open(self) -> bool:
        """Return whether look-ups are to be repeated on the schedule."""
        if self._void is not None and self._void.needs_lookup:
            return True
        return (
            self._state.undecided and self._state.answered and not self._context.operation_running
        )

    async def run(self) -> PspReply | None:
        """Ask the PSP; return None if it is unavailable: the schedule repeats the look-up."""
        for psp_id in list(self._schedule.extra_ids):
            if await self._ask(psp_id) is None:
                return None
            self._schedule.remove_id(psp_id)
        return await self._ask(self._state.psp_transaction_id or self._state.psp_session_id)

    async def _ask(self, psp_id: str | None) -> PspReply | None:
        call = self._context.psp_call(self._plan.name, psp_id=psp_id)
        try:
            reply = await self._plan(call, summary="look-up at the PSP")
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            return None
        self._context.report_stored_version(reply.stored_version)
        self._context.flag_doubts(reply.doubts)
        # A read may lag behind the event that asked for it, though not for ever.
        self._schedule.record_answer(
            inconclusive=reply.outcome is None and not reply.absence_proven
        )
        if reply.outcome is not None:
            await self._operation.fold(reply.outcome, reply.evidence, self._plan.name)
        elif reply.absence_proven and not self._context.operation_running and self._state.undecided:
            await self._operation.fold(NEVER_ARRIVED, EvidenceKind.READ, self._plan.name)
        self._flag_overdue()
        if self._void is not None:
            await self._void.check_lookup(reply)
        return reply

    def _flag_overdue(self) -> None:
        if self._state.undecided and workflow.now() > self._overdue_at():
            self._state.flag_attention(
                "The PSP has not decided for a long time; somebody should ask it why."
            )

    def _overdue_at(self) -> datetime:
        """Return from when on a missing decision of the PSP needs attention."""
        since = workflow.info().start_time
        if self._due_date is not None:
            since = max(since, datetime.combine(self._due_date, time(), UTC))
        return times.add(since, timeouts.UNDECIDED_LIMIT)
