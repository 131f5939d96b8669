"""Record keeping: the state of every transaction goes to the store."""

from temporalio import activity

from activities import plan
from store.database import Store
from store.rows import RecordUpdate
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
        evidence = state.evidence.model_dump_json() if state.evidence else None
        return await self._store.record(
            RecordUpdate(
                merchant_id=record.merchant_id,
                transaction_id=record.transaction_id,
                status=state.status.name,
                version=state.version,
                snapshot=record.snapshot,
                evidence=evidence,
                psp_transaction_id=state.psp_transaction_id,
                psp_session_id=state.psp_session_id,
                activate_agreement=record.activate_agreement,
                needs_attention=state.attention is not None,
            )
        )
