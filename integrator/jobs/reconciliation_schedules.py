"""Sees to it that every merchant has its schedule of reconciliation, as configured."""

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

from integrator.store.database import Store
from workflows.messages import ReconcileInput
from workflows.reconcile import RECONCILE, reconcile_id, schedule_id

log = logging.getLogger(__name__)

EVERY = timedelta(minutes=1)
"""A merchant added while workers run is reconciled a minute later at the latest."""

SPREAD = 0.2
"""Runs of many merchants are spread over this share of the pause between two."""

LONGEST_RUN = 3
"""A run may take as long as this many pauses; meanwhile none is begun."""

SHORTEST_CATCH_UP = timedelta(seconds=10)
"""Temporal accepts none shorter. What was missed in an outage is done by the next run anyway."""


class ScheduleKeeper:
    """Makes and updates schedules; what an operator has paused stays paused."""

    def __init__(self, store: Store, client: Client, task_queue: str, every: timedelta) -> None:
        self._store = store
        self._client = client
        self._task_queue = task_queue
        self._every = every
        self._kept: set[str] = set()

    async def sweep(self) -> int:
        """Care for the merchants this process has not cared for yet; returns how many."""
        names = {merchant.id for merchant in await self._store.merchants()} - self._kept
        for name in sorted(names):
            await self._keep(name)
            self._kept.add(name)
        return len(names)

    async def _keep(self, merchant_id: str) -> None:
        wanted = self._schedule(merchant_id)
        try:
            await self._client.create_schedule(schedule_id(merchant_id), wanted)
        except ScheduleAlreadyRunningError:
            await self._client.get_schedule_handle(schedule_id(merchant_id)).update(
                lambda present: _updated(present, wanted)
            )

    def _schedule(self, merchant_id: str) -> Schedule:
        return Schedule(
            action=ScheduleActionStartWorkflow(
                RECONCILE,
                ReconcileInput(merchant_id=merchant_id),
                id=reconcile_id(merchant_id),
                task_queue=self._task_queue,
                execution_timeout=max(self._every * LONGEST_RUN, timedelta(hours=1)),
                static_summary=f"compares the books of {merchant_id} with its PSP's",
            ),
            spec=ScheduleSpec(
                intervals=[ScheduleIntervalSpec(every=self._every)], jitter=self._every * SPREAD
            ),
            policy=SchedulePolicy(
                overlap=ScheduleOverlapPolicy.SKIP,
                catchup_window=max(self._every, SHORTEST_CATCH_UP),
            ),
        )


def _updated(present: ScheduleUpdateInput, wanted: Schedule) -> ScheduleUpdate:
    wanted.state = present.description.schedule.state
    return ScheduleUpdate(wanted)
