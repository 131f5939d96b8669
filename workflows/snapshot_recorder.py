"""Recorder of a transaction's snapshots in the store."""

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

from integrator.contract.enums import PaymentTransactionStatus as Status
from workflows import activity_plans
from workflows.messages import Record, RecordReply
from workflows.metrics import StateMetrics
from workflows.reservation_client import ReservationClient
from workflows.state import TransactionState
from workflows.temporal_ui import TemporalUi
from workflows.transaction_context import TransactionContext


class SnapshotRecorder:
    """Writes the newest version, one write at a time, after counting and showing what is new.

    With `activates_agreement` the first record of the success activates the agreement; a later one
    could undo a newer sign-up.
    """

    def __init__(
        self,
        context: TransactionContext,
        metrics: StateMetrics,
        temporal_ui: TemporalUi,
        reservation: ReservationClient,
        *,
        activates_agreement: bool,
    ) -> None:
        self._context = context
        self._metrics = metrics
        self._temporal_ui = temporal_ui
        self._reservation = reservation
        self._activates_agreement = activates_agreement

    async def run(self) -> None:
        """Record each new version until cancelled."""
        while True:
            await workflow.wait_condition(lambda: self._context.has_unrecorded_version)
            self._metrics.observe(self._context.state)
            self._temporal_ui.update_search_attributes()
            await self._write(self._context.state)

    async def _write(self, state: TransactionState) -> None:
        version = state.version
        activation_due = self._activates_agreement and not self._context.success_recorded
        record = Record(
            merchant_id=self._context.start.merchant_id,
            kind=state.kind,
            transaction_id=self._context.start.transaction_id,
            snapshot=state.model_dump_json(),
            activate_agreement=activation_due and state.status is Status.Succeeded,
            announce_version=self._context.due_version,
            parent_due=self._reservation.is_result_due(state),
        )
        try:
            reply = await activity_plans.RECORD(record, summary=f"record version {version}")
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            reply = await activity_plans.RECORD_FALLBACK(
                record, summary=f"record version {version}, the store was slow"
            )
        if _requires_merge(reply):
            await self._context.merge_stored_state()
            return
        self._context.recorded_version = version
        self._context.success_recorded |= record.activate_agreement


def _requires_merge(reply: RecordReply) -> bool:
    """Return whether the record was refused, so that the stored state is to be merged.

    Only a reply from before needs the patch: one that is consulted after a local activity's result
    may be unknown in a replay.
    """
    if reply.root == RecordReply.REFUSED:
        return True
    return reply.refused and workflow.patched("merge-refused-record")
