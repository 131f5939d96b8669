"""Wait until no work is in progress."""

import asyncio
import time
from collections.abc import Iterable, Mapping

from devtools.campaign.billwerk import BillwerkSimulator
from devtools.campaign.integrator_view import IntegratorView, StoredTransaction
from devtools.campaign.psp import SandboxPspClient
from devtools.campaign.scenario import WAITING
from devtools.campaign.transaction import Transaction

_OPEN = ("Initiated", "Pending")
_PAUSE_SECONDS = 1.0
_WEBHOOK_PAUSE_SECONDS = 2.0


class Quiescence:
    """Checks the store, the PSP's webhooks and the workflows for pending work."""

    def __init__(
        self, billwerk: BillwerkSimulator, integrator: IntegratorView, psp: SandboxPspClient
    ) -> None:
        self._billwerk = billwerk
        self._integrator = integrator
        self._psp = psp

    async def wait(self, seconds: float) -> str:
        """Wait until nothing is pending; return what is still pending after `seconds`, or ""."""
        end = time.monotonic() + seconds
        while unfinished := await self._unfinished():
            if time.monotonic() > end:
                return unfinished
            await asyncio.sleep(_PAUSE_SECONDS)
        return ""

    async def _unfinished(self) -> str:
        """Return what is pending, or ""; workflows are checked last because that is expensive."""
        rows = await self._integrator.rows()
        if undecided := self._undecided(rows):
            return f"{undecided} transactions are undecided"
        if due := sum(row.due != "" and row.status not in _OPEN for row in rows.values()):
            return f"{due} transactions have steps that are due"
        if pending := await self._psp.pending_webhooks():
            return f"{pending} webhooks of the PSP are pending"
        if pending := await self._integrator.undelivered():
            return f"{pending} notifications are not delivered"
        if workflows := await self._busy_workflows(self._billwerk.transactions.values()):
            return f"{workflows} workflows are busy"
        if time.monotonic() - self._billwerk.receiver.last_received < _WEBHOOK_PAUSE_SECONDS:
            return "webhooks were received less than 2 s ago"
        return ""

    def _undecided(self, rows: Mapping[str, StoredTransaction]) -> int:
        transactions = self._billwerk.transactions
        return sum(
            row.status in _OPEN and WAITING not in transactions[id].expected
            for id, row in rows.items()
            if id in transactions
        )

    async def _busy_workflows(self, transactions: Iterable[Transaction]) -> int:
        semaphore = asyncio.Semaphore(16)

        async def is_busy(transaction: Transaction) -> bool:
            async with semaphore:
                return bool(await self._integrator.pending_work(transaction))

        return sum(await asyncio.gather(*map(is_busy, transactions)))
