"""When tokens and clients were last used: noted in memory, written now and then, never at once."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta

from integrator.store import Store, StoreUnavailable

EVERY = timedelta(minutes=1)

log = logging.getLogger(__name__)


class Use:
    """The last uses of one kind of thing that have not been written yet, by id."""

    def __init__(self, write: Callable[[Mapping[str, datetime]], Awaitable[None]]) -> None:
        self._write = write
        self._last: dict[str, datetime] = {}

    def note(self, id: str) -> None:
        """It was used now."""
        self._last[id] = datetime.now(UTC)

    async def write(self) -> None:
        """Write what is noted; what cannot be written now is written with what comes next."""
        noted, self._last = self._last, {}
        if not noted:
            return
        try:
            await self._write(noted)
        except StoreUnavailable as error:
            self._last = noted | self._last
            log.warning("Last uses could not be written: %s", error)


class TokenUsage:
    """The uses of static tokens and of OAuth clients."""

    def __init__(self, store: Store) -> None:
        self.tokens = Use(store.record_token_use)
        self.clients = Use(store.record_client_use)

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await asyncio.sleep(EVERY.total_seconds())
            await self.write()

    async def write(self) -> None:
        """Write what is noted of both."""
        await self.tokens.write()
        await self.clients.write()
