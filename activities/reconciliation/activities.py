"""Reconciliation activities: one per step, each on one merchant's account."""

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from temporalio import activity

from activities.errors import psp_errors
from activities.reconciliation.missed_events import MissedEventImport
from activities.reconciliation.movement_comparison import LAG, MovementComparison
from activities.reconciliation.psp_account import open_account
from activities.reconciliation.resolution import MovementResolver
from activities.reconciliation.spot_check import SpotCheck
from activities.reconciliation.time_slice import TimeSlice
from activities.reconciliation.unmatched import UnmatchedCheck
from integrator.observability import worker_metrics
from integrator.store.database import Store
from integrator.transactions.transaction_client import TransactionClient
from workflows import activity_plans
from workflows.messages import ReconcileInput, StepReport


class ReconcileActivities:
    """Steps that may be repeated, interrupted and run concurrently."""

    def __init__(
        self,
        store: Store,
        http: httpx.AsyncClient,
        transaction_client: TransactionClient,
        lag: timedelta = LAG,
    ) -> None:
        """Create the steps; `lag` is how old a movement must be to be compared."""
        resolver = MovementResolver(store, transaction_client)
        self._store = store
        self._http = http
        self._event_import = MissedEventImport(store, transaction_client)
        self._comparison = MovementComparison(store, resolver, lag)
        self._unmatched_check = UnmatchedCheck(store, resolver)
        self._spot_check = SpotCheck(store, transaction_client)

    def all(self) -> Sequence[Callable[..., Any]]:
        """Return the activities to register with a worker."""
        return [self.repair_events, self.sweep_movements, self.sample_final]

    @activity.defn(name=activity_plans.REPAIR_EVENTS.name)
    async def repair_events(self, start: ReconcileInput) -> StepReport:
        """Import the events whose notification never arrived."""
        with (
            worker_metrics.count_reconciliation_step(start.merchant_id, "events") as counted,
            psp_errors(),
        ):
            account = await open_account(self._store, self._http, start.merchant_id)
            if account is None or not account.adapter.capabilities.event_list:
                return StepReport()
            return counted(await self._event_import.run(account, TimeSlice()))

    @activity.defn(name=activity_plans.SWEEP_MOVEMENTS.name)
    async def sweep_movements(self, start: ReconcileInput) -> StepReport:
        """Compare the PSP's movements with the store."""
        with (
            worker_metrics.count_reconciliation_step(start.merchant_id, "movements") as counted,
            psp_errors(),
        ):
            account = await open_account(self._store, self._http, start.merchant_id)
            if account is None or not account.adapter.capabilities.movement_list:
                return StepReport()
            if start.since is not None and start.until is not None:
                return await self._comparison.run_between(
                    account, start.since, start.until, TimeSlice()
                )
            began = datetime.now(UTC)
            compared = await self._comparison.run(account, TimeSlice())
            if compared.more:
                return counted(compared)
            # Movements found in this run have not had the time to be matched.
            checked = await self._unmatched_check.run(account, began)
            counts = Counter(compared.counts) + Counter(checked.counts)
            return counted(StepReport(counts=dict(counts)))

    @activity.defn(name=activity_plans.SAMPLE_FINAL.name)
    async def sample_final(self, start: ReconcileInput) -> StepReport:
        """Compare open transactions and a sample of the final ones with the PSP's state."""
        with (
            worker_metrics.count_reconciliation_step(start.merchant_id, "sample") as counted,
            psp_errors(),
        ):
            account = await open_account(self._store, self._http, start.merchant_id)
            if account is None:
                return StepReport()
            return counted(await self._spot_check.run(account, TimeSlice()))
