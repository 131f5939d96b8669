"""Examiner of single transactions."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from integrator.crypto.keys import DecryptionError
from integrator.operations.healing import diagnosis
from integrator.operations.healing.findings import Finding, FindingKind, build_finding
from integrator.operations.healing.workflow_view import WorkflowReader, WorkflowView
from integrator.store.database import Store
from integrator.store.models import TransactionRow, TransactionSummary
from integrator.transactions.workflow_inputs import read_state
from workflows.state import AnyState

UNREADABLE = (DecryptionError, LookupError, ValueError)
"""Errors of one row: it cannot be decrypted or parsed, or its adapter is not installed."""

UNCHANGED_FOR = timedelta(minutes=1)
"""A younger change may still be on its way to the store, the parent or the caller."""

UNSTARTED_FOR = timedelta(minutes=10)
"""Until then the caller may repeat the request of a transaction that has not started."""


@dataclass(frozen=True)
class ExaminerOptions:
    """How long a transaction is left alone, and when the log of deliveries begins."""

    unchanged_for: timedelta = UNCHANGED_FOR
    unstarted_for: timedelta = UNSTARTED_FOR
    deliveries_since: datetime | None = None


class Examiner:
    """Compares a transaction's row with its workflow, its parent and its deliveries."""

    def __init__(self, store: Store, workflows: WorkflowReader, options: ExaminerOptions) -> None:
        self._store = store
        self._workflows = workflows
        self._options = options

    async def examine(self, summary: TransactionSummary) -> list[Finding]:
        """Return what is wrong with a transaction that nothing has changed for a while."""
        age = datetime.now(UTC) - summary.updated_at
        unstarted = summary.version == 0 and summary.status == "Initiated"
        limit = self._options.unstarted_for if unstarted else self._options.unchanged_for
        if age < limit:
            return []
        return await self.examine_now(summary)

    async def examine_now(
        self, summary: TransactionSummary, *, compared: bool = False
    ) -> list[Finding]:
        """Return what is wrong with a transaction at this moment.

        With `compared`, a comparison with the PSP was requested, and counts as open while the
        workflow that makes it runs.
        """
        try:
            row = await self._store.transactions.get(summary.merchant_id, summary.transaction_id)
            if row is None:
                return []
            findings = await self._examine(row, read_state(row.kind, row.snapshot))
            if compared and not findings and (await self._workflows.read(row)).running:
                detail = "the look-up at the PSP is under way"
                return [build_finding(FindingKind.FAILURE_UNPROVEN, row, detail)]
        except UNREADABLE as error:
            return [build_finding(FindingKind.UNREADABLE, summary, type(error).__name__)]
        return findings

    async def _examine(self, row: TransactionRow, state: AnyState) -> list[Finding]:
        findings = [
            *self._check_failure(row, state),
            *await self._check_parent(row, state),
        ]
        deliveries = await self._store.deliveries.list_by_transaction(
            row.merchant_id, row.transaction_id
        )
        unannounced = diagnosis.unannounced_since(row, state, deliveries)
        if state.is_final and unannounced is None and not diagnosis.needs_workflow(row, state):
            return findings
        view = await self._workflows.read(row)
        if view.problem is not None:
            # Nothing else can be healed by a signal that it does not process.
            return [build_finding(FindingKind.TASKS_FAIL, row, view.problem)]
        findings += self._compare(row, state, view)
        if unannounced is None or (view.state is not None and view.state.version < row.version):
            # A workflow behind its row announces with the merge what is due.
            return findings
        if not view.running or not await self._workflows.announces_since(row, unannounced):
            findings += self._judge_announcement(row, unannounced)
        return findings

    def _check_failure(self, row: TransactionRow, state: AnyState) -> list[Finding]:
        if diagnosis.is_contradicted(state):
            return [build_finding(FindingKind.PSP_CONTRADICTS, row)]
        if diagnosis.is_failure_unproven(row, state):
            return [build_finding(FindingKind.FAILURE_UNPROVEN, row)]
        return []

    async def _check_parent(self, row: TransactionRow, state: AnyState) -> list[Finding]:
        if row.related_id is None or state.undecided:
            return []
        parent = await self._store.transactions.get(row.merchant_id, row.related_id)
        if parent is None:
            return []
        parent_state = read_state(parent.kind, parent.snapshot)
        if not diagnosis.is_parent_uninformed(state, parent_state):
            return []
        return [
            build_finding(FindingKind.PARENT_UNINFORMED, row, f"its parent is {row.related_id}")
        ]

    def _compare(self, row: TransactionRow, state: AnyState, view: WorkflowView) -> list[Finding]:
        if not view.running:
            missing = diagnosis.needs_workflow(row, state)
            return [build_finding(FindingKind.WORKFLOW_MISSING, row)] if missing else []
        findings = []
        if diagnosis.is_outcome_unknown(row, state, datetime.now(UTC)):
            findings.append(build_finding(FindingKind.OUTCOME_UNKNOWN, row))
        if view.state is not None and view.state.version < row.version:
            detail = f"version {view.state.version} of {row.version}"
            findings.append(build_finding(FindingKind.STATE_BEHIND, row, detail))
        elif (
            view.state is not None
            and 0 < row.version == view.state.version
            and diagnosis.differs(state, view.state)
        ):
            findings.append(build_finding(FindingKind.STATE_DIFFERS, row))
        return findings

    def _judge_announcement(self, row: TransactionRow, changed_at: datetime) -> list[Finding]:
        begin = self._options.deliveries_since
        detail = f"changed at {changed_at:%Y-%m-%d %H:%M:%S}"
        if begin is not None and changed_at < begin:
            detail += ", before the first delivery that is logged"
            return [build_finding(FindingKind.ANNOUNCEMENT_UNCLEAR, row, detail)]
        if row.told_at is not None and changed_at - row.told_at <= diagnosis.CLOCK_TOLERANCE:
            detail += ", about when the caller got its response"
            return [build_finding(FindingKind.ANNOUNCEMENT_UNCLEAR, row, detail)]
        return [build_finding(FindingKind.ANNOUNCEMENT_LOST, row, detail)]
