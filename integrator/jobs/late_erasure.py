"""Periodic erasure of notifications that arrive after an agreement's data was erased.

These may concern money and have to be applied. So they are kept until then, and for a grace period
in which an activity may be repeated. Events that cannot be read belong to no known agreement; their
content is erased some time after they arrived.
"""

import logging
from datetime import UTC, datetime, timedelta

from integrator.store.database import Store
from integrator.store.notifications import UNREADABLE_KEPT

log = logging.getLogger(__name__)

INTERVAL = timedelta(minutes=10)
GRACE_PERIOD = timedelta(minutes=10)


class LateErasure:
    """Erases late notifications."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def run(self, grace_period: timedelta = GRACE_PERIOD) -> int:
        """Erase what was applied more than `grace_period` ago, and what was unreadable for long.

        Returns how many notifications were erased.
        """
        count = await self._store.erasure.erase_late_notifications(datetime.now(UTC) - grace_period)
        if count:
            log.info("%d notifications of erased agreements were erased", count)
        unreadable = await self._store.erasure.erase_unreadable_notifications(
            datetime.now(UTC) - UNREADABLE_KEPT
        )
        if unreadable:
            log.info("%d events that cannot be read were erased", unreadable)
        return count + unreadable
