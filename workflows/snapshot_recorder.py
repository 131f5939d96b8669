"""Recorder of a transaction's snapshots in the store."""

from collections.abc import Callable

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

from workflows import activity_plans
from workflows.messages import Record, TransactionInput
from workflows.state import TransactionState


class SnapshotRecorder:
    """Writes the newest version, one write at a time; `version` is the one the store holds.

    `activates` returns whether the next record activates the agreement; `before_write` is called
    before each write, `after_write` after it with whether it activated the agreement.
    """

    def __init__(
        self,
        start: TransactionInput,
        state: Callable[[], TransactionState],
        activates: Callable[[], bool],
        before_write: Callable[[], None],
        after_write: Callable[[bool], None],
    ) -> None:
        self._start = start
        self._state = state
        self._activates = activates
        self._before_write = before_write
        self._after_write = after_write
        self.version = state().version

    @property
    def has_unrecorded_version(self) -> bool:
        """Return whether the store does not hold the newest version yet."""
        return self.version < self._state().version

    async def run(self) -> None:
        """Record each new version until cancelled."""
        while True:
            await workflow.wait_condition(lambda: self.has_unrecorded_version)
            self._before_write()
            await self._write(self._state())

    async def _write(self, state: TransactionState) -> None:
        version = state.version
        record = Record(
            merchant_id=self._start.merchant_id,
            kind=state.kind,
            transaction_id=self._start.transaction_id,
            snapshot=state.model_dump_json(),
            activate_agreement=self._activates(),
        )
        try:
            await activity_plans.RECORD(record, summary=f"record version {version}")
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            await activity_plans.RECORD_FALLBACK(
                record, summary=f"record version {version}, the store was slow"
            )
        self.version = version
        self._after_write(record.activate_agreement)
