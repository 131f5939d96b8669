"""Periodic job that creates and updates every merchant's reconciliation schedule."""

import logging
from datetime import timedelta

from temporalio.client import (
    Client,
    Schedule,
    ScheduleActionStartWorkflow,
    ScheduleAlreadyRunningError,
    ScheduleIntervalSpec,
    ScheduleOverlapPolicy,
    SchedulePolicy,
    ScheduleSpec,
    ScheduleUpdate,
    ScheduleUpdateInput,
)

from integrator.observability import worker_metrics
from integrator.store.database import Store
from integrator.transactions.row_isolation import describe, is_outage
from workflows.messages import ReconcileInput
from workflows.reconcile import RECONCILE, reconcile_workflow_id, schedule_id

log = logging.getLogger(__name__)

INTERVAL = timedelta(minutes=1)
"""A merchant added while workers run gets its schedule within a minute."""

JITTER = 0.2
"""Runs of many merchants are spread over this fraction of the interval."""

MAX_RUN_INTERVALS = 3
"""A run may take this many intervals; meanwhile no other run starts."""

MIN_CATCH_UP = timedelta(seconds=10)
"""Temporal's minimum. The next run covers what was missed in an outage anyway."""


class ReconciliationSchedules:
    """Creates and updates schedules; one paused by an operator stays paused."""

    def __init__(self, store: Store, client: Client, task_queue: str, interval: timedelta) -> None:
        self._store = store
        self._client = client
        self._task_queue = task_queue
        self._interval = interval
        self._up_to_date: set[str] = set()

    async def run(self) -> int:
        """Handle merchants that this process has not handled yet; return how many."""
        names = {
            merchant.id for merchant in await self._store.merchants.list_all()
        } - self._up_to_date
        for name in sorted(names):
            try:
                await self._create_or_update(name)
            except Exception as error:
                if is_outage(error):
                    raise
                # Only this merchant's schedule is at fault; it is tried again in the next run.
                worker_metrics.SWEEP_FAILURES.labels("schedules").inc()
                log.error("The schedule of %s cannot be written: %s", name, describe(error))
            else:
                self._up_to_date.add(name)
        return len(names & self._up_to_date)

    async def _create_or_update(self, merchant_id: str) -> None:
        schedule = self._build_schedule(merchant_id)
        try:
            await self._client.create_schedule(schedule_id(merchant_id), schedule)
        except ScheduleAlreadyRunningError:
            await self._client.get_schedule_handle(schedule_id(merchant_id)).update(
                lambda current: _update_schedule(current, schedule)
            )

    def _build_schedule(self, merchant_id: str) -> Schedule:
        return Schedule(
            action=ScheduleActionStartWorkflow(
                RECONCILE,
                ReconcileInput(merchant_id=merchant_id),
                id=reconcile_workflow_id(merchant_id),
                task_queue=self._task_queue,
                execution_timeout=max(self._interval * MAX_RUN_INTERVALS, timedelta(hours=1)),
                static_summary=f"reconciles {merchant_id} with its PSP",
            ),
            spec=ScheduleSpec(
                intervals=[ScheduleIntervalSpec(every=self._interval)],
                jitter=self._interval * JITTER,
            ),
            policy=SchedulePolicy(
                overlap=ScheduleOverlapPolicy.SKIP,
                catchup_window=max(self._interval, MIN_CATCH_UP),
            ),
        )


def _update_schedule(current: ScheduleUpdateInput, schedule: Schedule) -> ScheduleUpdate:
    schedule.state = current.description.schedule.state
    return ScheduleUpdate(schedule)
