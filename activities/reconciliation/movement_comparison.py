"""The second step of reconciliation: everything the PSP has booked, compared with our books."""

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from activities.reconciliation.matching import ids_of, judge
from activities.reconciliation.psp_account import Account
from activities.reconciliation.resolution import MovementResolver
from activities.reconciliation.time_slice import Share
from integrator.psp.types import Movement
from integrator.store.database import Store
from integrator.store.models import TransactionRow
from workflows.messages import StepReport

log = logging.getLogger(__name__)

LAG = timedelta(minutes=1)
"""What was made just now is left to the call that makes it."""

OVERLAP = timedelta(minutes=10)
"""Clocks differ, and a PSP may list an object a little after it was made."""

HISTORY = timedelta(days=400)
"""How far back the first run looks: money that is older cannot be taken back any more."""

WINDOW = timedelta(minutes=10)
LONGEST_WINDOW = timedelta(days=1)
SHORTEST_WINDOW = timedelta(minutes=1)
FEW, MANY = 200, 5_000
"""Quiet times are crossed in long strides, busy ones in short: each must fit into a share."""


class MovementSweep:
    """Goes through time, window by window, and remembers how far it came."""

    def __init__(self, store: Store, dealer: MovementResolver, lag: timedelta = LAG) -> None:
        self._store = store
        self._dealer = dealer
        self._lag = lag

    async def run(self, account: Account, share: Share) -> StepReport:
        """From where the last run stopped until shortly before now."""
        settings_id, now = account.merchant.psp_settings_id, datetime.now(UTC)
        kept = (await self._store.progress(settings_id)).checked_until
        reached = kept or max(account.merchant.created_at, now - HISTORY)
        since, end, stride = reached - OVERLAP, now - self._lag, WINDOW
        counts: Counter[str] = Counter()
        while reached < end:
            until = min(reached + stride, end)
            found = await self._window(account, since, until)
            await self._store.checked_until(settings_id, until)
            since = reached = until
            stride = next_stride(stride, found.total())
            counts += found
            if share.used_up:
                break
        return StepReport(counts=dict(counts), more=reached < end)

    async def between(
        self, account: Account, since: datetime, until: datetime, share: Share
    ) -> StepReport:
        """A span of time that somebody wants compared once more; how far it came says `reached`."""
        end, stride = min(until, datetime.now(UTC) - self._lag), WINDOW
        counts: Counter[str] = Counter()
        while since < end and not share.used_up:
            reached = min(since + stride, end)
            found = await self._window(account, since, reached)
            since, stride = reached, next_stride(stride, found.total())
            counts += found
        return StepReport(counts=dict(counts), more=since < end, reached=since)

    async def _window(self, account: Account, since: datetime, until: datetime) -> Counter[str]:
        counts: Counter[str] = Counter()
        cursor: str | None = None
        while True:
            page = await account.connection.list_movements(since, until, cursor)
            counts += await self._page(account, page.movements)
            cursor = page.cursor
            if cursor is None:
                return counts

    async def _page(self, account: Account, movements: Sequence[Movement]) -> Counter[str]:
        if not movements:
            return Counter()
        merchant = account.merchant
        ids = set().union(*(ids_of(movement) for movement in movements))
        rows = await self._store.transactions_named(merchant.id, merchant.psp, ids)
        counts: Counter[str] = Counter()
        for movement in movements:
            near = [row for row in rows if ids_of(movement) & _ids(row)]
            counts[await self._deal(account, movement, near)] += 1
        return counts

    async def _deal(
        self, account: Account, movement: Movement, rows: Sequence[TransactionRow]
    ) -> str:
        try:
            judgement = judge(movement, rows)
            await self._dealer.resolve(account, movement, judgement)
        except (ValueError, LookupError) as error:
            # This one's own fault, no outage: it must not hold up the others.
            log.error("%s cannot be compared: %s", movement.psp_id, type(error).__name__)
            return "unreadable"
        return judgement.finding.value


def _ids(row: TransactionRow) -> set[str | None]:
    return {row.transaction_id, row.psp_transaction_id}


def next_stride(stride: timedelta, found: int) -> timedelta:
    """Longer after a quiet window, shorter after a busy one."""
    if found < FEW:
        return min(stride * 2, LONGEST_WINDOW)
    return max(stride / 2, SHORTEST_WINDOW) if found > MANY else stride
