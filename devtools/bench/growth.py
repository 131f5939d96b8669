"""Measure the cost of open idle payments: the same figures with a growing number of them.

Open payments are created as the product reopens closed ones: a row in the store and a workflow that
starts from its state, here one that has succeeded and waits for chargebacks.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from statistics import median
from typing import Any

from sqlalchemy import insert, select
from temporalio.service import RPCError

from devtools.bench.config import BenchConfig
from devtools.bench.load import repeat
from devtools.bench.measurements import Figures, Sides, payments, reads
from devtools.bench.resource_usage import resident_mib
from devtools.bench.stack import MERCHANT, Stack, cool_down
from integrator.crypto.keys import KeyRing
from integrator.store import Store, TransactionRow
from integrator.store.engine import open_engine
from integrator.store.tables import transactions
from integrator.transactions.transaction_client import TransactionClient
from integrator.transactions.workflow_inputs import input_refresher, resume_input
from workflows.state import TransactionKind

_CONCURRENT_STARTS = 64
_ROWS_PER_INSERT = 1_000
_START_TIMEOUT_SECONDS = 120
_QUERY_TIMEOUT = timedelta(seconds=30)


@dataclass(frozen=True)
class Level:
    """Figures of every round with `open_payments`, and memory in MiB after the last round."""

    open_payments: int
    rounds: list[Figures]
    memory: dict[str, float]


async def measure_growth(
    sides: Sides, config: BenchConfig, log: Callable[[str], None]
) -> list[Level]:
    """Measure with each number of open payments."""
    levels: list[Level] = []
    open_count = 0
    for target in config.growth:
        began = time.monotonic()
        await _add_open_payments(sides, target - open_count)
        open_count = target
        log(f"{target} open payments, after {time.monotonic() - began:.0f} s")
        rounds = [await _round(sides, config, number) for number in range(config.rounds)]
        levels.append(Level(target, rounds, memory_by_process(sides.stack)))
        log(_summarize(levels[-1]))
    return levels


def _summarize(level: Level) -> str:
    """Return the main figures of a level in one line, for progress output."""
    names = ("POST, 1 caller: p50, ms", "GET, 1 caller: p50, ms")
    post, get = (median(figures[name]["ours"] for figures in level.rounds) for name in names)
    return f"  POST {post:.1f} ms, GET {get:.1f} ms, worker {level.memory['worker']:.0f} MiB"


def memory_by_process(stack: Stack) -> dict[str, float]:
    """Return the resident memory of each process, in MiB."""
    return {name: resident_mib(pid) for name, pid in sorted(stack.supervisor.pids().items())}


async def _round(sides: Sides, config: BenchConfig, number: int) -> Figures:
    ours_first = number % 2 == 0
    paid = await payments(sides, config, ours_first)
    return paid | await reads(sides, config, ours_first)


async def _add_open_payments(sides: Sides, count: int) -> None:
    if not count:
        return
    stack, sample = sides.stack, await sides.integrator.pay()
    await cool_down(1)
    async with Store(
        stack.settings.resolved_database_url, KeyRing.from_settings(stack.settings)
    ) as store:
        row = await store.transactions.get(MERCHANT, sample)
        assert row is not None  # noqa: S101 - it has just been created
        copies = list(_copies(row, count))
        await _insert_rows(stack, row, copies)
        client = TransactionClient(stack.client, stack.settings.task_queue, input_refresher(store))
        starts = iter([resume_input(copy) for copy in copies])

        async def start() -> None:
            copy = next(starts)
            await client.ensure_started(copy)
            # A workflow that answers has started: no backlog may remain when measuring starts.
            await _wait_until_started(client, copy.transaction_id)

        await repeat(start, _CONCURRENT_STARTS, count)
    await cool_down(5)


async def _wait_until_started(client: TransactionClient, id: str) -> None:
    async with asyncio.timeout(_START_TIMEOUT_SECONDS):
        while True:
            # A query times out long before the workers have processed the backlog.
            with contextlib.suppress(RPCError):
                await client.state(MERCHANT, TransactionKind.PAYMENT, id, _QUERY_TIMEOUT)
                return


def _copies(row: TransactionRow, count: int) -> Iterator[TransactionRow]:
    for _ in range(count):
        id, psp_id = f"20260215-{secrets.token_hex(12)}", f"ch_{secrets.token_hex(8)}"
        snapshot = row.snapshot.replace(row.transaction_id, id)
        snapshot = snapshot.replace(row.psp_transaction_id or "-", psp_id)
        yield replace(row, transaction_id=id, psp_transaction_id=psp_id, snapshot=snapshot)


async def _insert_rows(stack: Stack, row: TransactionRow, copies: list[TransactionRow]) -> None:
    """Insert the rows in batches, with plain snapshots like rows from before their encryption."""
    engine = open_engine(stack.settings.resolved_database_url)
    query = select(transactions).where(transactions.c.transaction_id == row.transaction_id)
    try:
        async with engine.connect() as connection:
            original = dict((await connection.execute(query)).mappings().one())
        for first in range(0, len(copies), _ROWS_PER_INSERT):
            async with engine.execution_options(writes=True).begin() as connection:
                batch = copies[first : first + _ROWS_PER_INSERT]
                await connection.execute(
                    insert(transactions), [_values(original, c) for c in batch]
                )
    finally:
        await engine.dispose()


def _values(original: dict[str, Any], copy: TransactionRow) -> dict[str, Any]:
    changes = {
        "transaction_id": copy.transaction_id,
        "psp_transaction_id": copy.psp_transaction_id,
        "snapshot": copy.snapshot,
        "sealed_snapshot": None,
    }
    return original | changes
