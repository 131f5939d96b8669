"""The record keeper of a transaction: every version of its state goes to the store."""

from collections.abc import Callable

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

from workflows import activity_plans
from workflows.messages import Record, TransactionInput
from workflows.state import TransactionState


class SnapshotRecorder:
    """Writes the newest version, one write at a time; `version` is the one the store holds.

    `activates` says whether the record to be written makes the agreement usable; `before` is
    called before each write, `after` with what was activated by it.
    """

    def __init__(
        self,
        start: TransactionInput,
        state: Callable[[], TransactionState],
        activates: Callable[[], bool],
        before: Callable[[], None],
        after: Callable[[bool], None],
    ) -> None:
        self._start = start
        self._state = state
        self._activates = activates
        self._before = before
        self._after = after
        self.version = state().version

    @property
    def behind(self) -> bool:
        """Whether the store is yet to learn something."""
        return self.version < self._state().version

    async def run(self) -> None:
        """Record for as long as the transaction lives."""
        while True:
            await workflow.wait_condition(lambda: self.behind)
            self._before()
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
            await activity_plans.RECORD_PATIENTLY(record, summary="record, store was slow")
        self.version = version
        self._after(record.activate_agreement)
