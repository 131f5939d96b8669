"""Closed-loop load: callers that wait for each response before the next call."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

Call = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Sample:
    """Latencies in ms of the calls that ended within `seconds`."""

    latencies: tuple[float, ...]
    seconds: float

    @property
    def p50(self) -> float:
        """Return the median."""
        return statistics.median(self.latencies)

    @property
    def p99(self) -> float:
        """Return the 99th percentile; of fewer than 100 calls the slowest."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]

    @property
    def rate(self) -> float:
        """Return the calls per second."""
        return len(self.latencies) / self.seconds


async def closed_loop(call: Call, callers: int, seconds: float) -> Sample:
    """Run `callers` concurrently for `seconds`; calls in progress at the end are awaited."""
    latencies: list[float] = []
    began = time.perf_counter()

    async def caller() -> None:
        while (at := time.perf_counter()) - began < seconds:
            await call()
            latencies.append((time.perf_counter() - at) * 1000)

    await asyncio.gather(*(caller() for _ in range(callers)))
    return Sample(tuple(latencies), time.perf_counter() - began)


async def repeat(call: Call, callers: int, count: int) -> None:
    """Make `count` calls with `callers` concurrently."""
    left = iter(range(count))

    async def caller() -> None:
        for _ in left:
            await call()

    await asyncio.gather(*(caller() for _ in range(callers)))
