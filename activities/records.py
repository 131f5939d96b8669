"""Record keeping: the state of every transaction goes to the store."""

from temporalio import activity

from activities import metrics, plan
from runtime.rows import record_of
from store.database import Store
from workflows.messages import Record
from workflows.starts import read_state


class RecordActivities:
    """Writes snapshots; a newer version is never overwritten by an older one."""

    def __init__(self, store: Store) -> None:
        self._store = store

    @activity.defn(name=plan.RECORD.name)
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
            metrics.RECORD_CONFLICTS.labels(record.kind.value).inc()
        return written
