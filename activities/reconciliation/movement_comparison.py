"""Second step of reconciliation: compare the PSP's movements with the store."""

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from activities.reconciliation.matching import match_movement, movement_ids
from activities.reconciliation.psp_account import PspAccount
from activities.reconciliation.resolution import MovementResolver
from activities.reconciliation.time_slice import TimeSlice
from integrator.psp.types import Movement
from integrator.store.database import Store
from integrator.store.models import TransactionRow
from workflows.messages import StepReport

log = logging.getLogger(__name__)

LAG = timedelta(minutes=1)
"""A movement made just now is left to the call that makes it."""

OVERLAP = timedelta(minutes=10)
"""Clocks differ, and a PSP may list an object shortly after it was created."""

HISTORY = timedelta(days=400)
"""How far back the first run looks: older payments cannot be charged back any more."""

WINDOW = timedelta(minutes=10)
LONGEST_WINDOW = timedelta(days=1)
SHORTEST_WINDOW = timedelta(minutes=1)
FEW_MOVEMENTS, MANY_MOVEMENTS = 200, 5_000
"""Windows grow where there are few movements and shrink where there are many: each must fit into
a time slice."""


class MovementComparison:
    """Compares time window by time window and stores how far it got."""

    def __init__(self, store: Store, resolver: MovementResolver, lag: timedelta = LAG) -> None:
        self._store = store
        self._resolver = resolver
        self._lag = lag

    async def run(self, account: PspAccount, time_slice: TimeSlice) -> StepReport:
        """Compare from where the last run stopped until shortly before now."""
        settings_id, now = account.merchant.psp_settings_id, datetime.now(UTC)
        checked_until = (await self._store.reconciliation.get_progress(settings_id)).checked_until
        reached = checked_until or max(account.merchant.created_at, now - HISTORY)
        since, end, length = reached - OVERLAP, now - self._lag, WINDOW
        counts: Counter[str] = Counter()
        while reached < end:
            until = min(reached + length, end)
            counted = await self._compare_window(account, since, until)
            await self._store.reconciliation.record_checked_until(settings_id, until)
            since = reached = until
            length = next_length(length, counted.total())
            counts += counted
            if time_slice.expired:
                break
        return StepReport(counts=dict(counts), more=reached < end)

    async def run_between(
        self, account: PspAccount, since: datetime, until: datetime, time_slice: TimeSlice
    ) -> StepReport:
        """Compare a given span of time again; `reached` is how far it got."""
        end, length = min(until, datetime.now(UTC) - self._lag), WINDOW
        counts: Counter[str] = Counter()
        while since < end and not time_slice.expired:
            reached = min(since + length, end)
            counted = await self._compare_window(account, since, reached)
            since, length = reached, next_length(length, counted.total())
            counts += counted
        return StepReport(counts=dict(counts), more=since < end, reached=since)

    async def _compare_window(
        self, account: PspAccount, since: datetime, until: datetime
    ) -> Counter[str]:
        counts: Counter[str] = Counter()
        cursor: str | None = None
        while True:
            page = await account.connection.list_movements(since, until, cursor)
            counts += await self._compare_page(account, page.movements)
            cursor = page.cursor
            if cursor is None:
                return counts

    async def _compare_page(
        self, account: PspAccount, movements: Sequence[Movement]
    ) -> Counter[str]:
        if not movements:
            return Counter()
        merchant = account.merchant
        ids = set().union(*(movement_ids(movement) for movement in movements))
        rows = await self._store.transaction_search.list_by_ids(merchant.id, merchant.psp, ids)
        counts: Counter[str] = Counter()
        for movement in movements:
            candidates = [row for row in rows if movement_ids(movement) & _transaction_ids(row)]
            counts[await self._compare_movement(account, movement, candidates)] += 1
        return counts

    async def _compare_movement(
        self, account: PspAccount, movement: Movement, rows: Sequence[TransactionRow]
    ) -> str:
        try:
            match = match_movement(movement, rows)
            await self._resolver.resolve(account, movement, match)
        except (ValueError, LookupError) as error:
            # Only this movement is at fault, no outage: it must not block the others.
            log.error("Movement %s cannot be compared: %s", movement.psp_id, type(error).__name__)
            return "unreadable"
        return match.result.value


def _transaction_ids(row: TransactionRow) -> set[str | None]:
    return {row.transaction_id, row.psp_transaction_id}


def next_length(length: timedelta, counted: int) -> timedelta:
    """Return the next window's length: longer after few movements, shorter after many."""
    if counted < FEW_MOVEMENTS:
        return min(length * 2, LONGEST_WINDOW)
    return max(length / 2, SHORTEST_WINDOW) if counted > MANY_MOVEMENTS else length
