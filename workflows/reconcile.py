"""Reconciliation of one merchant's books with its PSP's, both ways; started by a schedule.

It looks and tells; what is true of a transaction is decided by that transaction's own workflow.
"""

from collections import Counter

from temporalio import workflow
from temporalio.exceptions import FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from workflows import activity_plans
    from workflows.activity_errors import cause_text
    from workflows.messages import ReconcileInput, ReconcileReport, StepReport

ROUNDS = 10
"""A step with more to do than this goes on in the next run: no run may live for ever."""

RECONCILE = "ReconcileWorkflow"


def reconcile_id(merchant_id: str) -> str:
    """The workflow's id; the schedule adds the time of each run."""
    return f"{merchant_id}/reconcile"


def schedule_id(merchant_id: str) -> str:
    """The schedule that starts it."""
    return f"reconcile/{merchant_id}"


@workflow.defn(name=RECONCILE)
class ReconcileWorkflow:
    """Three steps, one after the other; one that fails does not keep the others from running."""

    def __init__(self) -> None:
        self._problems: dict[str, str] = {}
        self._last = StepReport()

    @workflow.run
    async def run(self, start: ReconcileInput) -> ReconcileReport:
        """One run; returns what was counted. A span of time is compared and nothing else."""
        if start.since is not None:
            return ReconcileReport(
                movements=await self._step(activity_plans.SWEEP_MOVEMENTS, start),
                problems=self._problems,
                reached=self._last.reached,
                more=self._last.more,
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
            for number in range(1, ROUNDS + 1):
                report = await step(start, summary=f"{step.name}, part {number}")
                counts.update(report.counts)
                self._last = report
                if not report.more:
                    break
                if start.since is not None:
                    start = start.model_copy(update={"since": report.reached})
        except FailureError as error:
            if is_cancelled_exception(error):
                raise
            self._problems[step.name] = cause_text(error)
        return dict(counts)
