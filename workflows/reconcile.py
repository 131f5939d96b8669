"""Reconciliation of one merchant with its PSP, in both directions; started by a schedule.

It only compares and signals: each transaction's state is decided by its own workflow.
"""

from collections import Counter

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from workflows import activity_plans
    from workflows.activity_errors import cause_text
    from workflows.messages import ReconcileInput, ReconcileReport, StepReport

MAX_ROUNDS = 10
"""A step that needs more calls than this goes on in the next run, which bounds each run."""

RECONCILE = "ReconcileWorkflow"


def reconcile_workflow_id(merchant_id: str) -> str:
    """Return the workflow's id; the schedule appends the time of each run."""
    return f"{merchant_id}/reconcile"


def schedule_id(merchant_id: str) -> str:
    """Return the id of the schedule that starts it."""
    return f"reconcile/{merchant_id}"


@workflow.defn(name=RECONCILE)
class ReconcileWorkflow:
    """Runs three steps in sequence; a step that fails does not stop the others."""

    def __init__(self) -> None:
        self._problems: dict[str, str] = {}
        self._last_report = StepReport()

    @workflow.run
    async def run(self, start: ReconcileInput) -> ReconcileReport:
        """Run all steps and return their counts; with `since`, compare only that period."""
        if start.since is not None:
            return ReconcileReport(
                movements=await self._step(activity_plans.SWEEP_MOVEMENTS, start),
                problems=self._problems,
                reached=self._last_report.reached,
                more=self._last_report.more,
            )
        return ReconcileReport(
            events=await self._step(activity_plans.REPAIR_EVENTS, start),
            movements=await self._step(activity_plans.SWEEP_MOVEMENTS, start),
            sample=await self._step(activity_plans.SAMPLE_FINAL, start),
            problems=self._problems,
        )

    async def _step(
        self, step: activity_plans.ActivityPlan[ReconcileInput, StepReport], start: ReconcileInput
    ) -> dict[str, int]:
        counts: Counter[str] = Counter()
        try:
            for number in range(1, MAX_ROUNDS + 1):
                report = await step(start, summary=f"{step.name}, part {number}")
                counts.update(report.counts)
                self._last_report = report
                if not report.more:
                    break
                if start.since is not None:
                    start = start.model_copy(update={"since": report.reached})
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            self._problems[step.name] = cause_text(error)
        return dict(counts)
