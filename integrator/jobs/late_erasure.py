"""Sees to it that nothing personal stays of what comes after an agreement's data was erased.

Its PSP may still send notifications. They have to be applied, for they may speak of money, so they
are kept until then, and for a while in which an activity may be repeated.
"""

import logging
from datetime import UTC, datetime, timedelta

from integrator.store.database import Store

log = logging.getLogger(__name__)

EVERY = timedelta(minutes=10)
AFTER = timedelta(minutes=10)


class LateSweeper:
    """Erases late notifications, for as long as the worker runs."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def sweep(self, after: timedelta = AFTER) -> int:
        """Erase what was dealt with before `after`; returns how many that were."""
        count = await self._store.erase_late_notifications(datetime.now(UTC) - after)
        if count:
            log.info("%d notifications of erased agreements were erased", count)
        return count
