"""Whose callers have had their answer: noted when it is out, written together a moment later.

A crash in between costs a change notification that was not needed, never one that was.
"""

import asyncio
import logging

from integrator.store import Store, StoreError

PAUSE_SECONDS = 0.25

log = logging.getLogger(__name__)


class ResponseLog:
    """One database transaction for all answers of a moment, and none on anybody's way."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._noted: list[tuple[str, str]] = []
        self._any = asyncio.Event()

    async def record(self, merchant_id: str, transaction_id: str) -> None:
        """The answer about this transaction is out."""
        self._noted.append((merchant_id, transaction_id))
        self._any.set()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await self._any.wait()
            await asyncio.sleep(PAUSE_SECONDS)
            await self.write()

    async def write(self) -> None:
        """Write what is noted."""
        noted, self._noted = self._noted, []
        self._any.clear()
        if not noted:
            return
        try:
            await self._store.mark_responded(*noted)
        except StoreError as error:
            log.warning("%d answer(s) will be announced as well: %s", len(noted), error)
