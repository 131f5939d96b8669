"""Announcing transactions' present states to Billwerk+ once more."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from temporalio.service import RPCError

from integrator.operations.output import Progress
from integrator.store.database import Store
from integrator.store.models import Filter, TransactionRow, TransactionSummary
from integrator.transactions.workflow_inputs import resume_input
from workflows.messages import AnyInput

AT_ONCE = 8
_PAGE = 200


class Announces(Protocol):
    """The part of the gateway that is needed here."""

    async def redeliver(self, start: AnyInput) -> None: ...


@dataclass
class Announced:
    """What became of the transactions that were meant, by their ids.

    `skipped` have not begun: there is nothing to announce yet.
    """

    asked: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


async def one(gateway: Announces, row: TransactionRow) -> bool:
    """Have the workflow announce it, reopened from the store if it is gone.

    False when the transaction has not begun.
    """
    if row.version == 0:
        return False
    await gateway.redeliver(resume_input(row))
    return True


async def one_alone(gateway: Announces, row: TransactionRow, *, dry_run: bool) -> Announced:
    """As `all_of`, for one that was named; raises what the gateway raises."""
    name = f"{row.merchant_id}/{row.transaction_id}"
    if dry_run:
        return Announced(asked=[name] if row.version else [], skipped=[] if row.version else [name])
    asked = await one(gateway, row)
    return Announced(asked=[name]) if asked else Announced(skipped=[name])


def told(done: Announced, *, dry_run: bool) -> str:
    """For people."""
    what = "would be announced" if dry_run else "asked to announce their state"
    lines = [f"{len(done.asked)} transactions {what}."]
    if done.skipped:
        lines.append(f"{len(done.skipped)} have not begun: there is nothing to announce.")
    if done.failed:
        lines.append(f"{len(done.failed)} could not be reached: {', '.join(done.failed[:10])}")
    return "\n".join(lines)


async def all_of(
    store: Store, gateway: Announces, wanted: Filter, progress: Progress, *, dry_run: bool
) -> Announced:
    """All that meet the conditions, oldest first; with `dry_run` they are only looked for."""
    done = Announced()
    total = await store.count(wanted)
    progress(0, total)
    seen = 0
    async for rows in _pages(store, wanted):
        for start in range(0, len(rows), AT_ONCE):
            some = rows[start : start + AT_ONCE]
            await _announce(store, gateway, some, done, dry_run=dry_run)
            seen += len(some)
            progress(seen, max(total, seen))
    return done


async def _announce(
    store: Store,
    gateway: Announces,
    rows: Sequence[TransactionSummary],
    done: Announced,
    *,
    dry_run: bool,
) -> None:
    async def announce(listed: TransactionSummary) -> list[str]:
        if listed.version == 0:
            return done.skipped
        if dry_run:
            return done.asked
        row = await store.transaction(listed.merchant_id, listed.transaction_id)
        try:
            asked = row is not None and await one(gateway, row)
        except (RPCError, RuntimeError):
            return done.failed
        return done.asked if asked else done.skipped

    results = await asyncio.gather(*(announce(row) for row in rows))
    for row, result in zip(rows, results, strict=True):
        result.append(f"{row.merchant_id}/{row.transaction_id}")


async def _pages(store: Store, wanted: Filter) -> AsyncIterator[list[TransactionSummary]]:
    """What is announced meanwhile may leave the list; the place in it stays."""
    after = None
    while rows := await store.search(wanted, after=after, limit=_PAGE, oldest_first=True):
        yield rows
        after = rows[-1].place
