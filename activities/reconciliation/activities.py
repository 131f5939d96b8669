"""The activities of reconciliation: one per step, each on one merchant's account."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from temporalio import activity

from activities.errors import psp_errors
from activities.reconciliation.missed_events import EventRepair
from activities.reconciliation.movement_comparison import LAG, MovementSweep
from activities.reconciliation.psp_account import open_account
from activities.reconciliation.resolution import MovementResolver
from activities.reconciliation.spot_check import Sample
from activities.reconciliation.time_slice import Share
from activities.reconciliation.unmatched import StrayCheck
from integrator.observability import worker_metrics
from integrator.store.database import Store
from integrator.transactions.transaction_client import TransactionClient
from workflows import activity_plans
from workflows.messages import ReconcileInput, StepReport


class ReconcileActivities:
    """Steps that may be repeated, stopped half way and run twice at once."""

    def __init__(
        self,
        store: Store,
        http: httpx.AsyncClient,
        gateway: TransactionClient,
        lag: timedelta = LAG,
    ) -> None:
        """`lag` is how old a movement must be to be compared."""
        dealer = MovementResolver(store, gateway)
        self._store = store
        self._http = http
        self._repair = EventRepair(store, gateway)
        self._sweep = MovementSweep(store, dealer, lag)
        self._strays = StrayCheck(store, dealer)
        self._sample = Sample(store, gateway)

    def all(self) -> Sequence[Callable[..., Any]]:
        """The activities to register with a worker."""
        return [self.repair_events, self.sweep_movements, self.sample_final]

    @activity.defn(name=activity_plans.REPAIR_EVENTS.name)
    async def repair_events(self, start: ReconcileInput) -> StepReport:
        """Take in the events whose notification never came."""
        with worker_metrics.reconciling(start.merchant_id, "events") as counted, psp_errors():
            account = await open_account(self._store, self._http, start.merchant_id)
            if account is None or not account.adapter.capabilities.event_list:
                return StepReport()
            return counted(await self._repair.run(account, Share()))

    @activity.defn(name=activity_plans.SWEEP_MOVEMENTS.name)
    async def sweep_movements(self, start: ReconcileInput) -> StepReport:
        """Compare what the PSP has booked with our books."""
        with worker_metrics.reconciling(start.merchant_id, "movements") as counted, psp_errors():
            account = await open_account(self._store, self._http, start.merchant_id)
            if account is None or not account.adapter.capabilities.movement_list:
                return StepReport()
            if start.since is not None and start.until is not None:
                return await self._sweep.between(account, start.since, start.until, Share())
            began = datetime.now(UTC)
            swept = await self._sweep.run(account, Share())
            if swept.more:
                return counted(swept)
            # Those found just now have not had the time to find their place.
            looked_at = await self._strays.run(account, began)
            both = Counter(swept.counts) + Counter(looked_at.counts)
            return counted(StepReport(counts=dict(both)))

    @activity.defn(name=activity_plans.SAMPLE_FINAL.name)
    async def sample_final(self, start: ReconcileInput) -> StepReport:
        """Compare open transactions and a sample of the finished ones with the PSP's view."""
        with worker_metrics.reconciling(start.merchant_id, "sample") as counted, psp_errors():
            account = await open_account(self._store, self._http, start.merchant_id)
            if account is None:
                return StepReport()
            return counted(await self._sample.run(account, Share()))
