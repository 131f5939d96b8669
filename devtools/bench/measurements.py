"""What is measured in each round: ours and the bare engine one after the other, on one server."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from uuid import uuid4

from devtools.bench.baseline import Engine
from devtools.bench.config import Knobs
from devtools.bench.integrator_driver import Platform
from devtools.bench.load import Call, Sample, closed_loop, times
from devtools.bench.resource_usage import cpu_seconds
from devtools.bench.stack import Stack, settle

Figures = dict[str, dict[str, float]]
"""Name of a figure to its values of one round, by side: `ours`, `bare`."""

_READ_AMONG = 100
"""So many of the newest transactions are read in turn: workers have them in their cache."""


@dataclass
class Sides:
    """Both sides of the comparison and what they have made so far."""

    stack: Stack
    platform: Platform
    engine: Engine
    paid: list[str]
    made: list[str]

    async def pay(self) -> None:
        """One payment of ours."""
        self.paid.append(await self.platform.pay())

    async def make(self) -> None:
        """One workflow of the bare engine."""
        id = f"bare-{uuid4().hex}"
        await self.engine.create(id)
        self.made.append(id)


async def warm_up(sides: Sides, knobs: Knobs) -> None:
    """Both, until pollers and caches are as they will be."""
    for call in (sides.pay, sides.make):
        await closed_loop(call, knobs.crowd, knobs.warm_up / 2)
        await closed_loop(call, 1, knobs.warm_up / 2)


async def payments(sides: Sides, knobs: Knobs, ours_first: bool) -> Figures:
    """POST /api/Payment against update-with-start and one activity."""
    figures: Figures = {}
    for callers in (1, knobs.callers):

        async def measure(call: Call, callers: int = callers) -> Sample:
            return await closed_loop(call, callers, knobs.phase)

        taken = await _both(measure, sides.pay, sides.make, ours_first)
        _note(figures, f"POST, {_callers(callers)}", taken)

    async def saturate(call: Call) -> Sample:
        side = "ours" if call == sides.pay else "bare"
        before = _used(sides.stack, side)
        sample = await closed_loop(call, knobs.crowd, knobs.phase)
        await settle()
        for part, seconds in _used(sides.stack, side).items():
            cost = (seconds - before[part]) * 1000 / len(sample.latencies)
            figures.setdefault(f"CPU per payment, {part}, ms", {})[side] = cost
        return sample

    taken = await _both(saturate, sides.pay, sides.make, ours_first)
    name = f"POST, {_callers(knobs.crowd)}: payments per second"
    return figures | {name: {side: sample.rate for side, sample in taken.items()}}


async def reads(sides: Sides, knobs: Knobs, ours_first: bool) -> Figures:
    """GET /api/Payment/{id} against a query; then the same GET while no worker runs."""
    figures: Figures = {}
    paid, made = cycle(sides.paid[-_READ_AMONG:]), cycle(sides.made[-_READ_AMONG:])

    async def get() -> None:
        await sides.platform.read(next(paid))

    async def query() -> None:
        await sides.engine.query(next(made))

    async def measure(call: Call, callers: int) -> Sample:
        return await closed_loop(call, callers, knobs.phase / 2)

    counts = (1, knobs.callers)
    taken = {
        callers: await _both(partial(measure, callers=callers), get, query, ours_first)
        for callers in counts
    }
    for callers, sample in taken.items():
        _note(figures, f"GET, {_callers(callers)}", sample)
    # All of it last: for some seconds afterwards the API asks no workflow.
    with sides.stack.without_worker():
        await get()  # finds out that nobody answers
        for callers in counts:
            stored = await measure(get, callers)
            named = taken[callers] | {"ours": stored}
            _note(figures, f"GET without a worker, {_callers(callers)}", named)
    return figures


async def notifications(sides: Sides, knobs: Knobs) -> Figures:
    """From the PSP's POST to the arrival of our change webhook; one at a time."""
    figures: Figures = {}
    waiting: list[tuple[str, str]] = []

    async def prepare() -> None:
        waiting.append(await sides.platform.pay_later())

    async def tell_all() -> dict[str, Sample]:
        latencies = [await sides.platform.notify(*waiting.pop()) for _ in range(len(waiting))]
        return {"ours": Sample(tuple(latencies), 1)}

    await times(prepare, knobs.callers, knobs.notifications)
    await settle()
    _note(figures, "notification to webhook", await tell_all())
    await times(prepare, knobs.callers, knobs.notifications)
    async with _under_load(sides.pay, knobs.callers):
        told = await tell_all()
    _note(figures, f"notification to webhook, {_callers(knobs.callers)} paying", told)
    return figures


@asynccontextmanager
async def _under_load(call: Call, callers: int) -> AsyncIterator[None]:
    """So many callers go on until the block ends."""
    over = asyncio.Event()

    async def caller() -> None:
        while not over.is_set():
            await call()

    running = [asyncio.create_task(caller()) for _ in range(callers)]
    try:
        yield
    finally:
        over.set()
        await asyncio.gather(*running)


def _used(stack: Stack, side: str) -> dict[str, float]:
    """Processor seconds so far: the bare client works in this process, ours in the API."""
    if side == "ours":
        client, workers = [stack.pid("api")], stack.worker_pids
    else:
        client, workers = [os.getpid()], [stack.pid("bare")]
    pids = {
        "API or client": client,
        "worker": workers,
        "both": client + workers,
        "Temporal server": [stack.pid("temporal")],
    }
    return {part: cpu_seconds(of) for part, of in pids.items()}


async def _both(
    measure: Callable[[Call], Awaitable[Sample]], ours: Call, bare: Call, ours_first: bool
) -> dict[str, Sample]:
    sides = {"ours": ours, "bare": bare}
    taken: dict[str, Sample] = {}
    for side in ("ours", "bare") if ours_first else ("bare", "ours"):
        taken[side] = await measure(sides[side])
        await settle()
    return taken


def _note(figures: Figures, name: str, taken: dict[str, Sample]) -> None:
    figures[f"{name}: p50, ms"] = {side: sample.p50 for side, sample in taken.items()}
    figures[f"{name}: p99, ms"] = {side: sample.p99 for side, sample in taken.items()}


def _callers(count: int) -> str:
    return "1 caller" if count == 1 else f"{count} callers"
