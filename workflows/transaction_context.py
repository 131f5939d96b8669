"""What the parts of one transaction's workflow share."""

from temporalio import workflow

from integrator.contract.enums import PaymentTransactionStatus as Status
from integrator.psp.types import Outcome
from workflows.lookup_schedule import LookupSchedule
from workflows.messages import AnyInput, Delivery, PspCall
from workflows.state import Change, Evidence, EvidenceKind, TransactionState


class TransactionContext:
    """Input, state and progress of one transaction; it knows none of the parts that use it.

    * `released`: the operation may be sent;
    * `operation_running`: its outcome is still awaited;
    * `caller_waiting`: a caller gets the next change as its result, so it is not announced;
    * `recorded_version`, `announced_version`: what the store holds, what Billwerk+ was notified of;
    * `success_recorded`: the store holds the success, or one that has ended since;
    * `version_to_announce`: the version whose notification was requested last;
    * `merge_requested`: the store holds a state that this one lacks;
    * `caller_detached`: no caller waits for the first outcome, nor will one;
    * `steps_due`: an earlier run may have been ended between two steps of its work;
    * `parent_due`: the parent transaction was not informed of the result then;
    * `waiting_for_day`: the operation waits for its day, and was not sent in this run.
    """

    def __init__(self, start: AnyInput, state: TransactionState) -> None:
        self.start = start
        self.state = state
        self.lookup_schedule = LookupSchedule()
        self.released = start.resume is not None
        self.operation_running = False
        self.waiting_for_day = False
        self.caller_waiting = False
        self.recorded_version = state.version
        self.success_recorded = state.status is Status.Succeeded
        self.announced_version = state.version
        self.version_to_announce = state.version
        self.merge_requested = False
        self.caller_detached = False
        self.steps_due = start.resume is not None
        self.parent_due = start.parent_due
        if start.announce_version is not None:
            self.announced_version = state.version - 1
        self.delivery = Delivery(to_announce=state.version, announced=self.announced_version)

    @property
    def has_unrecorded_version(self) -> bool:
        """Return whether the store does not hold the newest version yet."""
        return self.recorded_version < self.state.version

    @property
    def has_unannounced_version(self) -> bool:
        """Return whether a requested notification has not been delivered yet."""
        return self.announced_version < self.version_to_announce

    @property
    def due_version(self) -> int | None:
        """Return the version that is to be announced; None if nothing is."""
        return self.version_to_announce if self.has_unannounced_version else None

    def report_stored_version(self, version: int | None) -> None:
        """Request a merge if the store has a newer version."""
        if version is not None and version > self.state.version:
            self.merge_requested = True

    async def wait_until_recorded(self, version: int | None) -> None:
        """Return when the store's state of this version is known to be this workflow's.

        The record of an equal version with other content is refused, and then merged. A workflow
        from before does not wait.
        """
        if version is not None and self.start.durable_reads:
            await workflow.wait_condition(
                lambda: self.recorded_version >= min(version, self.state.version)
            )

    async def merge_stored_state(self) -> None:
        """Request a merge of the stored state and wait until it is done."""
        self.merge_requested = True
        await workflow.wait_condition(lambda: not self.merge_requested)

    def flag_doubts(self, doubts: tuple[str, ...]) -> None:
        """Ask operators about facts that are in doubt."""
        for doubt in doubts:
            self.state.flag_attention(doubt)

    def detach_caller(self) -> None:
        """Announce every change from now on."""
        self.caller_detached = True
        self.caller_waiting = False

    def apply(self, outcome: Outcome, kind: EvidenceKind, source: str) -> None:
        """Fold an outcome into the state and announce the change."""
        evidence = Evidence(kind=kind, source=source, at=workflow.now())
        self.announce_change(self.state.apply(outcome, evidence))

    def announce_change(self, change: Change) -> None:
        """Announce a visible change, unless the waiting caller gets it as a result."""
        if change is Change.VISIBLE and not self.caller_waiting:
            self.announce()

    def announce(self) -> None:
        """Request a notification of the current version."""
        self.version_to_announce = self.state.version

    def request_lookup(self) -> None:
        """Request a look-up now, repeated until the PSP answers."""
        self.lookup_schedule.request(workflow.now())

    def psp_call(
        self, step: str, *, psp_id: str | None = None, owner_id: str | None = None
    ) -> PspCall:
        """Return a call whose key is derived from workflow id and step: equal in repetitions."""
        first_run = self.start.resume is None
        return PspCall(
            merchant_id=self.start.merchant_id,
            transaction_id=self.start.transaction_id,
            idempotency_key=f"{workflow.info().workflow_id}/{step}",
            psp_id=psp_id,
            owner_id=owner_id,
            version=self.state.version,
            first_run_id=workflow.info().first_execution_run_id if first_run else None,
        )
