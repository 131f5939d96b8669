"""When tokens were last used: noted in memory, written now and then, never once per request."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from store import Store, StoreUnavailable

EVERY = timedelta(minutes=1)

log = logging.getLogger(__name__)


class TokenUse:
    """The last uses that have not been written yet, by token id."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._last: dict[str, datetime] = {}

    def note(self, token_id: str) -> None:
        """The token was used now."""
        self._last[token_id] = datetime.now(UTC)

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await asyncio.sleep(EVERY.total_seconds())
            await self.write()

    async def write(self) -> None:
        """Write what is noted; what cannot be written now is written with what comes next."""
        noted, self._last = self._last, {}
        if not noted:
            return
        try:
            await self._store.record_token_use(noted)
        except StoreUnavailable as error:
            self._last = noted | self._last
            log.warning("The last use of tokens could not be written: %s", error)
