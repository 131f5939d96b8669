"""Periodic repetition of look-ups that a PSP left unanswered, as soon as it answers again.

A workflow repeats a failed look-up at growing intervals, because each one adds to its history; the
next may come hours after the end of an outage. This job asks the PSP without any workflow: each run
repeats the failed look-up of one transaction of each account. While it fails, nothing else happens.
Once it is answered, the account's transactions with failed look-ups are signalled to ask again.
"""

import asyncio
import logging
import random
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from typing import Protocol

from temporalio.service import RPCError

from integrator.observability import worker_metrics
from integrator.store.database import Store
from integrator.store.models import TransactionRow
from integrator.transactions.row_isolation import is_outage
from integrator.transactions.transaction_client import TransactionClient
from integrator.transactions.workflow_inputs import resume_input

log = logging.getLogger(__name__)

INTERVAL = timedelta(seconds=10)
PROBES = 20
"""Accounts of one PSP that are asked at once; if none of them answers, the PSP is left alone until
the next run."""
BATCH = 250
"""Transactions of an account that are signalled in one run: a PSP that has just recovered gets 25
look-ups a second from each worker, below what PSPs allow."""
REPEATED_EVERY = timedelta(minutes=5)
"""A transaction is signalled once in this time because of another's answer: its own look-up may be
one that the PSP never answers. Its schedule begins again with the signal, at one minute."""
_NEVER = datetime.min.replace(tzinfo=UTC)


class Probe(Protocol):
    """Read of a transaction at its PSP."""

    async def answers(self, row: TransactionRow) -> bool:
        """Return whether the PSP answers the transaction's look-up."""


class LookupRecovery:
    """Has transactions looked up again whose account answers again."""

    def __init__(self, store: Store, transaction_client: TransactionClient, probe: Probe) -> None:
        self._store = store
        self._transaction_client = transaction_client
        self._probe = probe
        self._signalled_at: dict[tuple[str, str], datetime] = {}

    async def run(self) -> int:
        """Ask each account once; return how many transactions were signalled."""
        now = datetime.now(UTC)
        self._signalled_at = {
            key: at for key, at in self._signalled_at.items() if now - at < REPEATED_EVERY
        }
        by_psp: defaultdict[str, list[str]] = defaultdict(list)
        for psp, account in await self._store.transaction_search.list_failed_lookup_accounts():
            by_psp[psp].append(account)
        return sum(
            await asyncio.gather(*(self._recover_psp(accounts) for accounts in by_psp.values()))
        )

    async def _recover_psp(self, accounts: list[str]) -> int:
        """Go through a PSP's accounts in random order, as long as any of a group answers."""
        random.shuffle(accounts)
        total = 0
        for start in range(0, len(accounts), PROBES):
            group = accounts[start : start + PROBES]
            counts = await asyncio.gather(*map(self._recover_account, group))
            if not any(counts):
                break
            total += sum(counts)
        return total

    async def _recover_account(self, account: str) -> int:
        """Signal the account's transactions if it answers the look-up of one of them."""
        try:
            rows = await self._store.transaction_search.list_failed_lookups(account, BATCH)
            # Any of them, because the PSP may never answer the first.
            probed = random.choice(rows) if rows else None  # noqa: S311 - no secret
            if probed is None or not await self._probe.answers(probed):
                return 0
        except Exception as error:  # noqa: BLE001 - one account must not stop the others
            worker_metrics.SWEEP_FAILURES.labels("lookups").inc()
            log.error("Look-ups of account %s: %s", account, type(error).__name__)
            return 0
        # First the one that was answered: the run may end early if Temporal is unavailable.
        due = [probed, *(row for row in rows if row is not probed and self._is_due(row))]
        log.info("PSP %s answers again: %d look-ups are repeated", probed.psp, len(due))
        return sum([await self._repeat(row) for row in due])

    def _is_due(self, row: TransactionRow) -> bool:
        signalled_at = self._signalled_at.get((row.merchant_id, row.transaction_id), _NEVER)
        return datetime.now(UTC) - signalled_at >= REPEATED_EVERY

    async def _repeat(self, row: TransactionRow) -> bool:
        """Signal one transaction; return whether that succeeded. Raises in an outage of Temporal.

        The mark is removed after the signal, unless the look-up has failed again by then.
        """
        key = (row.merchant_id, row.transaction_id)
        try:
            await self._transaction_client.look_up(resume_input(row))
        except (ValueError, LookupError, RPCError) as error:
            if is_outage(error):
                raise
            worker_metrics.SWEEP_FAILURES.labels("lookups").inc()
            log.error(
                "%s %s cannot be looked up: %s", row.kind, row.transaction_id, type(error).__name__
            )
            await self._store.transactions.mark_lookup_failed(*key)  # behind all others
            return False
        self._signalled_at[key] = datetime.now(UTC)
        await self._store.transactions.clear_lookup_failed(row)
        return True
