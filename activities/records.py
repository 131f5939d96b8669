"""Record keeping: the state of every transaction goes to the store."""

from temporalio import activity

from integrator.observability import worker_metrics
from integrator.store.database import Store
from integrator.transactions.workflow_inputs import read_state, record_of
from workflows import activity_plans
from workflows.messages import Record


class RecordActivities:
    """Writes snapshots; a newer version is never overwritten by an older one."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @activity.defn(name=activity_plans.RECORD.name)
    async def record(self, record: Record) -> bool:
        """Keep the snapshot; False when the store holds a newer one already."""
        state = read_state(record.kind, record.snapshot)
        written = await self._store.record(
            record_of(
                record.merchant_id,
                state,
                record.snapshot,
                activate_agreement=record.activate_agreement,
            )
        )
        if not written:
            worker_metrics.RECORD_CONFLICTS.labels(record.kind.value).inc()
        return written
