"""Times of the last use of tokens and clients: collected in memory, written once a minute."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta

from integrator.store import Store, StoreUnavailable

WRITE_INTERVAL = timedelta(minutes=1)

log = logging.getLogger(__name__)


class LastUses:
    """Last uses of one kind of credential that are not written yet, by id."""

    def __init__(self, write: Callable[[Mapping[str, datetime]], Awaitable[None]]) -> None:
        self._write = write
        self._pending: dict[str, datetime] = {}

    def record(self, id: str) -> None:
        """Record a use at the present time."""
        self._pending[id] = datetime.now(UTC)

    async def write(self) -> None:
        """Write the pending uses; on failure they are kept for the next write."""
        pending, self._pending = self._pending, {}
        if not pending:
            return
        try:
            await self._write(pending)
        except StoreUnavailable as error:
            self._pending = pending | self._pending
            log.warning("Last uses could not be written: %s", error)


class TokenUsage:
    """Last uses of static tokens and of OAuth clients."""

    def __init__(self, store: Store) -> None:
        self.tokens = LastUses(store.api_tokens.record_use)
        self.clients = LastUses(store.oauth_clients.record_use)

    async def run(self) -> None:
        """Write periodically until cancelled."""
        while True:
            await asyncio.sleep(WRITE_INTERVAL.total_seconds())
            await self.write()

    async def write(self) -> None:
        """Write the pending uses of both kinds."""
        await self.tokens.write()
        await self.clients.write()
