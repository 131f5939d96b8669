"""Waiting until nothing moves any more."""

import asyncio
import time
from collections.abc import Iterable

from devtools.campaign.billwerk import Billwerk
from devtools.campaign.integrator_view import IntegratorBooks
from devtools.campaign.psp import Psp
from devtools.campaign.scenario import WAITING
from devtools.campaign.transaction import Transaction

_PAUSE_SECONDS = 1.0
_SILENCE_SECONDS = 2.0


class Quiescence:
    """Looks at the store, at the PSP's webhooks and at what workflows still have to do."""

    def __init__(self, billwerk: Billwerk, books: IntegratorBooks, psp: Psp) -> None:
        self._billwerk = billwerk
        self._books = books
        self._psp = psp

    async def wait(self, seconds: float) -> str:
        """Wait for silence; what was still open when the time was over, "" for nothing."""
        end = time.monotonic() + seconds
        while still := await self._open():
            if time.monotonic() > end:
                return still
            await asyncio.sleep(_PAUSE_SECONDS)
        return ""

    async def _open(self) -> str:
        """Cheap questions first: workflows are only asked when all else is quiet."""
        undecided = await self._undecided()
        if undecided:
            return f"{undecided} transactions are undecided"
        if waiting := await self._psp.waiting_webhooks():
            return f"{waiting} webhooks of the PSP are on their way"
        if waiting := await self._books.undelivered():
            return f"{waiting} notifications are not delivered"
        if busy := await self._busy(self._billwerk.books.values()):
            return f"{busy} workflows are busy"
        if time.monotonic() - self._billwerk.receiver.last < _SILENCE_SECONDS:
            return "webhooks have just come in"
        return ""

    async def _undecided(self) -> int:
        rows = await self._books.rows()
        books = self._billwerk.books
        return sum(
            row.status in ("Initiated", "Pending") and WAITING not in books[id].expected
            for id, row in rows.items()
            if id in books
        )

    async def _busy(self, transactions: Iterable[Transaction]) -> int:
        gate = asyncio.Semaphore(16)

        async def one(of: Transaction) -> bool:
            async with gate:
                return bool(await self._books.busy(of))

        return sum(await asyncio.gather(*(one(of) for of in transactions)))
