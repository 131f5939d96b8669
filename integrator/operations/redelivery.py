"""Redeliver change notifications of transactions' present states to Billwerk+."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from temporalio.service import RPCError

from integrator.operations.output import Progress
from integrator.store.database import Store
from integrator.store.models import TransactionFilter, TransactionRow, TransactionSummary
from integrator.transactions.workflow_inputs import resume_input
from workflows.messages import AnyInput

CONCURRENCY = 8
_PAGE_SIZE = 200


class RedeliveryClient(Protocol):
    """The part of the transaction client used here."""

    async def redeliver(self, start: AnyInput) -> None: ...


@dataclass
class RedeliveryResult:
    """Ids of the selected transactions by outcome.

    `skipped` have not started: there is nothing to announce yet.
    """

    asked: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


async def redeliver(transaction_client: RedeliveryClient, row: TransactionRow) -> bool:
    """Have the workflow announce the transaction, reopened from the store if it has closed.

    Returns False if the transaction has not started.
    """
    if row.version == 0:
        return False
    await transaction_client.redeliver(resume_input(row))
    return True


async def redeliver_named(
    transaction_client: RedeliveryClient, row: TransactionRow, *, dry_run: bool
) -> RedeliveryResult:
    """Redeliver a single transaction; raises what the transaction client raises."""
    name = f"{row.merchant_id}/{row.transaction_id}"
    if dry_run:
        return RedeliveryResult(
            asked=[name] if row.version else [], skipped=[] if row.version else [name]
        )
    started = await redeliver(transaction_client, row)
    return RedeliveryResult(asked=[name]) if started else RedeliveryResult(skipped=[name])


def render(result: RedeliveryResult, *, dry_run: bool) -> str:
    """Render the result as text."""
    action = "would be announced" if dry_run else "asked to announce their state"
    lines = [f"{len(result.asked)} transactions {action}."]
    if result.skipped:
        lines.append(f"{len(result.skipped)} have not started: there is nothing to announce.")
    if result.failed:
        lines.append(f"{len(result.failed)} could not be reached: {', '.join(result.failed[:10])}")
    return "\n".join(lines)


async def redeliver_matching(
    store: Store,
    transaction_client: RedeliveryClient,
    conditions: TransactionFilter,
    progress: Progress,
    *,
    dry_run: bool,
) -> RedeliveryResult:
    """Redeliver all matching transactions, oldest first; `dry_run` only selects them."""
    result = RedeliveryResult()
    total = await store.transaction_search.count(conditions)
    progress(0, total)
    seen = 0
    async for rows in _pages(store, conditions):
        for start in range(0, len(rows), CONCURRENCY):
            batch = rows[start : start + CONCURRENCY]
            await _redeliver_batch(store, transaction_client, batch, result, dry_run=dry_run)
            seen += len(batch)
            progress(seen, max(total, seen))
    return result


async def _redeliver_batch(
    store: Store,
    transaction_client: RedeliveryClient,
    rows: Sequence[TransactionSummary],
    result: RedeliveryResult,
    *,
    dry_run: bool,
) -> None:
    async def announce(summary: TransactionSummary) -> list[str]:
        if summary.version == 0:
            return result.skipped
        if dry_run:
            return result.asked
        row = await store.transactions.get(summary.merchant_id, summary.transaction_id)
        try:
            started = row is not None and await redeliver(transaction_client, row)
        except (RPCError, RuntimeError):
            return result.failed
        return result.asked if started else result.skipped

    id_lists = await asyncio.gather(*(announce(row) for row in rows))
    for row, ids in zip(rows, id_lists, strict=True):
        ids.append(f"{row.merchant_id}/{row.transaction_id}")


async def _pages(
    store: Store, conditions: TransactionFilter
) -> AsyncIterator[list[TransactionSummary]]:
    """Yield pages; announced transactions may drop out meanwhile, the cursor stays valid."""
    after = None
    while rows := await store.transaction_search.list_summaries(
        conditions, after=after, limit=_PAGE_SIZE, oldest_first=True
    ):
        yield rows
        after = rows[-1].cursor
