"""Merger of the state that the store holds into the state of the workflow.

Operators can rewind a workflow (a reset, a restored backup of Temporal), never the store. What the
store knows and the workflow does not is read and merged before the workflow relies on its state.
"""

from temporalio import workflow

from integrator.contract.enums import PaymentTransactionStatus as Status
from workflows import activity_plans
from workflows.messages import ReadStored, ReservationResult, StoredState
from workflows.state import TransactionState
from workflows.state.reservations import ReservingState
from workflows.transaction_context import TransactionContext


class StoredStateMerger:
    """Merges the stored state on request of the context, and after a reset of the workflow."""

    def __init__(self, context: TransactionContext) -> None:
        self._context = context
        self._message_before_create = False
        self._merged = False
        self._state_type = type(context.state)
        # A run that was reset gets another seed where it goes on, except at its start.
        workflow.register_random_seed_callback(self._on_new_seed)
        self._seed_changed = False
        self._at_start = _is_later_run(context) and workflow.patched("merge-at-start")

    @property
    def requested(self) -> bool:
        """Return whether a merge is to be made."""
        return self._context.merge_requested or self._at_start

    @property
    def expected(self) -> bool:
        """Return whether a merge is to be made, or will be once this run's reset is noticed."""
        return self.requested or self._seed_changed

    async def run(self) -> None:
        """Merge on request until cancelled."""
        while True:
            await workflow.wait_condition(lambda: self.expected or self._message_before_create)
            self._check_reset()
            self._check_early_message()
            if self.requested:
                await self._merge()

    def request_unless_created(self) -> None:
        """Request a merge before `create`: it came before a backup was restored, or never will.

        Without the patch: a history from before.
        """
        if self._context.start.durable_reads:
            # Decided in the merger's task: `create` may be among this task's messages, and Core
            # replays signals and updates of a run that was reset in another order.
            self._message_before_create = True
        elif not self._context.released and workflow.patched("merge-before-create"):
            self._context.merge_requested = True

    def _check_early_message(self) -> None:
        """Request a merge for a message that came before `create`, once in a run.

        Later ones find the stored state merged: another merge could announce again what they
        change.
        """
        if self._message_before_create:
            self._message_before_create = False
            self._context.merge_requested |= not (self._context.released or self._merged)

    def request_for_result(self, result: ReservationResult) -> None:
        """Request a merge if this state does not know the attempt whose reservation has ended.

        The store may hold the reservation: from before a backup of Temporal was restored. A booked
        result changes this state, whose record is refused then. Without the patch: a history from
        before.
        """
        is_unknown = not self.knows_attempt(result)
        if not result.booked and is_unknown and workflow.patched("merge-for-unknown-attempt"):
            self._context.merge_requested = True

    def knows_attempt(self, result: ReservationResult) -> bool:
        """Return whether the state knows the attempt whose reservation has ended."""
        state = self._context.state
        return isinstance(state, ReservingState) and state.knows_attempt(result.by)

    async def wait_until_merged(self) -> None:
        """Return when no merge is requested."""
        self._check_reset()
        self.request_unless_created()
        self._check_early_message()
        if self.requested:
            await workflow.wait_condition(lambda: not self.requested)

    async def compare_with_store(self) -> None:
        """Merge the stored state if it is another one; before a decision that rests on this one.

        A workflow from before does not compare.
        """
        if not self._context.start.durable_reads:
            return
        stored = self._parse(await self._read())
        state = self._context.state
        if stored.version >= max(state.version, 1) and stored != state:
            await self._context.merge_stored_state()

    def _check_reset(self) -> None:
        """Request a merge after a reset.

        In a history from before, a reset must not wake what waits for a merge: the order of its
        commands would be another one.
        """
        if self._seed_changed:
            self._seed_changed = False
            if workflow.patched("merge-after-reset"):
                self._context.merge_requested = True

    async def _merge(self) -> None:
        """Read the stored state and unite it with the workflow's."""
        self._unite(await self._read())
        self._context.merge_requested = self._at_start = False
        self._merged = True

    async def _read(self) -> StoredState:
        start = self._context.start
        call = ReadStored(merchant_id=start.merchant_id, transaction_id=start.transaction_id)
        is_durable = start.durable_reads
        plan = activity_plans.READ_STORED if is_durable else activity_plans.READ_STORED_LOCALLY
        return await plan(call, summary="read the stored state")

    def _parse(self, stored: StoredState) -> TransactionState:
        return self._state_type.model_validate_json(stored.snapshot)

    def _unite(self, stored: StoredState) -> None:
        context = self._context
        state, stored_state = context.state, self._parse(stored)
        changed_visibly = state.merge_stored(stored_state, workflow.now())
        context.recorded_version = stored_state.version
        context.success_recorded |= stored_state.status is Status.Succeeded
        # The first outcome may have been returned to the caller before, or never will be.
        context.detach_caller()
        due = context.has_unannounced_version or stored.announce_version is not None
        context.version_to_announce = state.version
        context.announced_version = state.version - (changed_visibly or due)
        context.parent_due = context.parent_due or stored.parent_due
        context.steps_due = True

    def _on_new_seed(self, _: int) -> None:
        self._seed_changed = True


def _is_later_run(context: TransactionContext) -> bool:
    """Return whether this may be a run that goes on from an earlier one, or was reset."""
    info = workflow.info()
    return context.start.resume is not None or info.run_id != info.first_execution_run_id
