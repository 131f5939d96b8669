"""Periodic erasure of notifications that arrive after an agreement's data was erased.

They may concern money and have to be applied. So they are kept until then, and for a grace period
in which an activity may be repeated.
"""

import logging
from datetime import UTC, datetime, timedelta

from integrator.store.database import Store

log = logging.getLogger(__name__)

INTERVAL = timedelta(minutes=10)
GRACE_PERIOD = timedelta(minutes=10)


class LateErasure:
    """Erases late notifications."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def run(self, grace_period: timedelta = GRACE_PERIOD) -> int:
        """Erase what was applied more than `grace_period` ago; return how many were erased."""
        count = await self._store.erasure.erase_late_notifications(datetime.now(UTC) - grace_period)
        if count:
            log.info("%d notifications of erased agreements were erased", count)
        return count
