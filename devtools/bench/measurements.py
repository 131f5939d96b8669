"""Measurements of each round: integrator and baseline one after the other, on one server."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from uuid import uuid4

from devtools.bench.baseline import Baseline
from devtools.bench.config import BenchConfig
from devtools.bench.integrator_driver import IntegratorDriver
from devtools.bench.load import Call, Sample, closed_loop, repeat
from devtools.bench.resource_usage import cpu_seconds
from devtools.bench.stack import Stack, cool_down

Figures = dict[str, dict[str, float]]
"""Values of one round by figure and side: `ours` is the integrator, `bare` the baseline."""

_READ_POOL_SIZE = 100
"""Number of newest transactions that are read in turn: workers have them in their cache."""


@dataclass
class Sides:
    """Both sides of the comparison and the ids of what they have created so far."""

    stack: Stack
    integrator: IntegratorDriver
    baseline: Baseline
    payment_ids: list[str]
    workflow_ids: list[str]

    async def pay(self) -> None:
        """Make one payment with the integrator."""
        self.payment_ids.append(await self.integrator.pay())

    async def run_baseline(self) -> None:
        """Run one workflow of the baseline."""
        id = f"bare-{uuid4().hex}"
        await self.baseline.create(id)
        self.workflow_ids.append(id)


async def warm_up(sides: Sides, config: BenchConfig) -> None:
    """Run both sides until pollers and caches are warm."""
    for call in (sides.pay, sides.run_baseline):
        await closed_loop(call, config.crowd, config.warm_up / 2)
        await closed_loop(call, 1, config.warm_up / 2)


async def payments(sides: Sides, config: BenchConfig, ours_first: bool) -> Figures:
    """Measure POST /api/Payment against update-with-start and one activity."""
    figures: Figures = {}
    for callers in (1, config.callers):

        async def measure(call: Call, callers: int = callers) -> Sample:
            return await closed_loop(call, callers, config.phase)

        samples = await _measure_both(measure, sides.pay, sides.run_baseline, ours_first)
        _add_percentiles(figures, f"POST, {_callers_text(callers)}", samples)

    async def saturate(call: Call) -> Sample:
        side = "ours" if call == sides.pay else "bare"
        before = _cpu_seconds(sides.stack, side)
        sample = await closed_loop(call, config.crowd, config.phase)
        await cool_down()
        for part, seconds in _cpu_seconds(sides.stack, side).items():
            cost = (seconds - before[part]) * 1000 / len(sample.latencies)
            figures.setdefault(f"CPU per payment, {part}, ms", {})[side] = cost
        return sample

    samples = await _measure_both(saturate, sides.pay, sides.run_baseline, ours_first)
    name = f"POST, {_callers_text(config.crowd)}: payments per second"
    return figures | {name: {side: sample.rate for side, sample in samples.items()}}


async def reads(sides: Sides, config: BenchConfig, ours_first: bool) -> Figures:
    """Measure GET /api/Payment/{id} against a query, then the same GET without a worker."""
    figures: Figures = {}
    payment_ids = cycle(sides.payment_ids[-_READ_POOL_SIZE:])
    workflow_ids = cycle(sides.workflow_ids[-_READ_POOL_SIZE:])

    async def get() -> None:
        await sides.integrator.get_payment(next(payment_ids))

    async def query() -> None:
        await sides.baseline.query(next(workflow_ids))

    async def measure(call: Call, callers: int) -> Sample:
        return await closed_loop(call, callers, config.phase / 2)

    counts = (1, config.callers)
    samples = {
        callers: await _measure_both(partial(measure, callers=callers), get, query, ours_first)
        for callers in counts
    }
    for callers, sample in samples.items():
        _add_percentiles(figures, f"GET, {_callers_text(callers)}", sample)
    # Last: the API queries no workflow for some seconds afterwards.
    with sides.stack.workers_paused():
        await get()  # detects that no worker answers
        for callers in counts:
            from_store = await measure(get, callers)
            compared = samples[callers] | {"ours": from_store}
            _add_percentiles(figures, f"GET without a worker, {_callers_text(callers)}", compared)
    return figures


async def notifications(sides: Sides, config: BenchConfig) -> Figures:
    """Measure from the PSP's POST to the arrival of the change notification, one at a time."""
    figures: Figures = {}
    waiting: list[tuple[str, str]] = []

    async def prepare() -> None:
        waiting.append(await sides.integrator.pay_pending())

    async def notify_all() -> dict[str, Sample]:
        latencies = [await sides.integrator.notify(*waiting.pop()) for _ in range(len(waiting))]
        return {"ours": Sample(tuple(latencies), 1)}

    await repeat(prepare, config.callers, config.notifications)
    await cool_down()
    _add_percentiles(figures, "notification to webhook", await notify_all())
    await repeat(prepare, config.callers, config.notifications)
    async with _under_load(sides.pay, config.callers):
        samples = await notify_all()
    _add_percentiles(
        figures, f"notification to webhook, {_callers_text(config.callers)} paying", samples
    )
    return figures


@asynccontextmanager
async def _under_load(call: Call, callers: int) -> AsyncIterator[None]:
    """Keep `callers` calling until the context ends."""
    ended = asyncio.Event()

    async def caller() -> None:
        while not ended.is_set():
            await call()

    running = [asyncio.create_task(caller()) for _ in range(callers)]
    try:
        yield
    finally:
        ended.set()
        await asyncio.gather(*running)


def _cpu_seconds(stack: Stack, side: str) -> dict[str, float]:
    """Return processor seconds so far: the baseline's client is this process, ours the API."""
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
    return {part: cpu_seconds(process_ids) for part, process_ids in pids.items()}


async def _measure_both(
    measure: Callable[[Call], Awaitable[Sample]], ours: Call, bare: Call, ours_first: bool
) -> dict[str, Sample]:
    sides = {"ours": ours, "bare": bare}
    samples: dict[str, Sample] = {}
    for side in ("ours", "bare") if ours_first else ("bare", "ours"):
        samples[side] = await measure(sides[side])
        await cool_down()
    return samples


def _add_percentiles(figures: Figures, name: str, samples: dict[str, Sample]) -> None:
    figures[f"{name}: p50, ms"] = {side: sample.p50 for side, sample in samples.items()}
    figures[f"{name}: p99, ms"] = {side: sample.p99 for side, sample in samples.items()}


def _callers_text(count: int) -> str:
    return "1 caller" if count == 1 else f"{count} callers"
