"""Activity that writes the state of every transaction to the store."""

from temporalio import activity
from temporalio.exceptions import ApplicationError

from integrator.observability import worker_metrics
from integrator.store.database import Store
from integrator.transactions.workflow_inputs import build_record, read_state
from workflows import activity_plans
from workflows.messages import ReadStored, Record, RecordReply, StoredState


class RecordActivities:
    """Writes and reads snapshots; a newer version is never overwritten by an older one."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @activity.defn(name=activity_plans.RECORD.name)
    async def record(self, record: Record) -> RecordReply:
        """Store the snapshot; refused if the store has a newer one or another one."""
        state = read_state(record.kind, record.snapshot)
        written = await self._store.transactions.record(
            build_record(
                record.merchant_id,
                state,
                record.snapshot,
                activate_agreement=record.activate_agreement,
                announce_version=record.announce_version,
                parent_due=record.parent_due,
            )
        )
        if not written:
            worker_metrics.RECORD_CONFLICTS.labels(record.kind.value).inc()
        return RecordReply(written or RecordReply.REFUSED)

    @activity.defn(name=activity_plans.READ_STORED.name)
    async def read_stored(self, read: ReadStored) -> StoredState:
        """Return the stored state and what is due."""
        row = await self._store.transactions.get(read.merchant_id, read.transaction_id)
        if row is None:
            raise ApplicationError("The transaction is not in the store.", type="NotFound")
        return StoredState(
            snapshot=row.snapshot,
            announce_version=row.announce_version,
            parent_due=row.parent_due,
        )
