"""Whether payments that merely stay open cost anything: the same figures with many of them.

Open payments are made as the product reopens closed ones: a row in the store and a workflow that
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

from devtools.bench.config import Knobs
from devtools.bench.load import times
from devtools.bench.measurements import Figures, Sides, payments, reads
from devtools.bench.resource_usage import resident_mib
from devtools.bench.stack import MERCHANT, Stack, settle
from integrator.crypto.keys import KeyRing
from integrator.store import Store, TransactionRow
from integrator.store.engine import open_engine
from integrator.store.tables import transactions
from integrator.transactions.transaction_client import TransactionClient
from integrator.transactions.workflow_inputs import input_refresher, resume_input
from workflows.state import TransactionKind

_STARTS_AT_ONCE = 64
_ROWS_AT_ONCE = 1_000
_PATIENCE_SECONDS = 120
_ASKED_FOR = timedelta(seconds=30)


@dataclass(frozen=True)
class Level:
    """Figures of every round with so many open payments, and memory in MiB at their end."""

    open_payments: int
    rounds: list[Figures]
    memory: dict[str, float]


async def grow(sides: Sides, knobs: Knobs, say: Callable[[str], None]) -> list[Level]:
    """Measure, open more, measure again."""
    levels: list[Level] = []
    have = 0
    for wanted in knobs.growth:
        began = time.monotonic()
        await _open(sides, wanted - have)
        have = wanted
        say(f"{wanted} open payments, after {time.monotonic() - began:.0f} s")
        rounds = [await _round(sides, knobs, number) for number in range(knobs.rounds)]
        levels.append(Level(wanted, rounds, memory(sides.stack)))
        say(_brief(levels[-1]))
    return levels


def _brief(level: Level) -> str:
    """What a run of half an hour has found so far."""
    names = ("POST, 1 caller: p50, ms", "GET, 1 caller: p50, ms")
    post, get = (median(figures[name]["ours"] for figures in level.rounds) for name in names)
    return f"  POST {post:.1f} ms, GET {get:.1f} ms, worker {level.memory['worker']:.0f} MiB"


def memory(stack: Stack) -> dict[str, float]:
    """Resident memory of each process, in MiB."""
    return {name: resident_mib(pid) for name, pid in sorted(stack.supervisor.pids().items())}


async def _round(sides: Sides, knobs: Knobs, number: int) -> Figures:
    ours_first = number % 2 == 0
    paid = await payments(sides, knobs, ours_first)
    return paid | await reads(sides, knobs, ours_first)


async def _open(sides: Sides, count: int) -> None:
    if not count:
        return
    stack, sample = sides.stack, await sides.platform.pay()
    await settle(1)
    async with Store(
        stack.settings.resolved_database_url, KeyRing.from_settings(stack.settings)
    ) as store:
        row = await store.transaction(MERCHANT, sample)
        assert row is not None  # noqa: S101 - it was paid just now
        copies = list(_copies(row, count))
        await _insert(stack, row, copies)
        gateway = TransactionClient(stack.client, stack.settings.task_queue, input_refresher(store))
        starts = iter([resume_input(copy) for copy in copies])

        async def start() -> None:
            copy = next(starts)
            await gateway.ensure_started(copy)
            # One that answers has begun: no worker may be behind when the measuring starts.
            await _until_begun(gateway, copy.transaction_id)

        await times(start, _STARTS_AT_ONCE, count)
    await settle(5)


async def _until_begun(gateway: TransactionClient, id: str) -> None:
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while True:
            # The server gives a query up long before a worker has come through all that waits.
            with contextlib.suppress(RPCError):
                await gateway.state(MERCHANT, TransactionKind.PAYMENT, id, _ASKED_FOR)
                return


def _copies(row: TransactionRow, count: int) -> Iterator[TransactionRow]:
    for _ in range(count):
        id, psp_id = f"20260215-{secrets.token_hex(12)}", f"ch_{secrets.token_hex(8)}"
        snapshot = row.snapshot.replace(row.transaction_id, id)
        snapshot = snapshot.replace(row.psp_transaction_id or "-", psp_id)
        yield replace(row, transaction_id=id, psp_transaction_id=psp_id, snapshot=snapshot)


async def _insert(stack: Stack, row: TransactionRow, copies: list[TransactionRow]) -> None:
    """The rows, at once and with a readable snapshot, as rows of before its encryption have."""
    engine = open_engine(stack.settings.resolved_database_url)
    found = select(transactions).where(transactions.c.transaction_id == row.transaction_id)
    try:
        async with engine.connect() as connection:
            original = dict((await connection.execute(found)).mappings().one())
        for first in range(0, len(copies), _ROWS_AT_ONCE):
            async with engine.execution_options(writes=True).begin() as connection:
                some = copies[first : first + _ROWS_AT_ONCE]
                await connection.execute(insert(transactions), [_values(original, c) for c in some])
    finally:
        await engine.dispose()


def _values(original: dict[str, Any], copy: TransactionRow) -> dict[str, Any]:
    own = {
        "transaction_id": copy.transaction_id,
        "psp_transaction_id": copy.psp_transaction_id,
        "snapshot": copy.snapshot,
        "sealed_snapshot": None,
    }
    return original | own
