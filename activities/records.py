"""Activity that writes the state of every transaction to the store."""

from temporalio import activity

from integrator.observability import worker_metrics
from integrator.store.database import Store
from integrator.transactions.workflow_inputs import build_record, read_state
from workflows import activity_plans
from workflows.messages import Record


class RecordActivities:
    """Writes snapshots; a newer version is never overwritten by an older one."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @activity.defn(name=activity_plans.RECORD.name)
    async def record(self, record: Record) -> bool:
        """Store the snapshot; return False if the store already has a newer one."""
        state = read_state(record.kind, record.snapshot)
        written = await self._store.transactions.record(
            build_record(
                record.merchant_id,
                state,
                record.snapshot,
                activate_agreement=record.activate_agreement,
            )
        )
        if not written:
            worker_metrics.RECORD_CONFLICTS.labels(record.kind.value).inc()
        return written
