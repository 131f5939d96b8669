"""Records which transactions were reported to the caller in a response; written in batches.

A crash before the write causes a superfluous change notification, never a missing one.
"""

import asyncio
import logging

from integrator.store import Store, StoreError

WRITE_DELAY_SECONDS = 0.25

log = logging.getLogger(__name__)


class ResponseLog:
    """Collects sent responses and writes them in one database transaction, after the response."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._pending: list[tuple[str, str]] = []
        self._has_pending = asyncio.Event()

    async def record(self, merchant_id: str, transaction_id: str) -> None:
        """Record that a response with the transaction's state was sent."""
        self._pending.append((merchant_id, transaction_id))
        self._has_pending.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._has_pending.wait()
            await asyncio.sleep(WRITE_DELAY_SECONDS)
            await self.write()

    async def write(self) -> None:
        """Write the pending records."""
        pending, self._pending = self._pending, []
        self._has_pending.clear()
        if not pending:
            return
        try:
            await self._store.transactions.mark_responded(*pending)
        except StoreError as error:
            log.warning(
                "%d response(s) not recorded; their changes will also be notified: %s",
                len(pending),
                error,
            )
