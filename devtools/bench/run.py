"""Order of measurements, and the stack of each."""

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from devtools.bench import environment, report
from devtools.bench.baseline import Baseline
from devtools.bench.config import BenchConfig
from devtools.bench.footprint import measure_footprint
from devtools.bench.growth import measure_growth, memory_by_process
from devtools.bench.integrator_driver import integrator_driver
from devtools.bench.measurements import Figures, Sides, notifications, payments, reads, warm_up
from devtools.bench.stack import VARIANTS, Variant, running


async def measure(config: BenchConfig, log: Callable[[str], None]) -> dict[str, Any]:
    """Measure every variant, or the growth of the first; return the content of a results file."""
    result: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": environment.commit(),
        "machine": environment.machine(),
        "versions": environment.versions(),
        "knobs": asdict(config),
        "variants": {},
        "growth": [],
    }
    if config.growth:
        async with prepared_sides(VARIANTS[0], config) as sides:
            result["growth"] = await growth_results(sides, config, log)
        return result
    for variant in VARIANTS:
        if config.variants and variant.name not in config.variants:
            continue
        log(f"{variant.name}: {config.rounds} rounds")
        async with prepared_sides(variant, config) as sides:
            result["variants"][variant.name] = asdict(variant) | await measure_variant(
                sides, config
            )
    return result


@asynccontextmanager
async def prepared_sides(variant: Variant, config: BenchConfig) -> AsyncIterator[Sides]:
    """Start a stack for the variant and warm it up."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        async with running(variant, Path(folder)) as stack, integrator_driver(stack) as integrator:
            sides = Sides(stack, integrator, Baseline(stack.client), [], [])
            await warm_up(sides, config)
            yield sides


async def measure_variant(sides: Sides, config: BenchConfig) -> dict[str, Any]:
    """Return all figures of one variant."""
    rounds = [await _round(sides, config, number) for number in range(config.rounds)]
    return {
        "figures": report.collect_figures(rounds),
        "memory": memory_by_process(sides.stack),
        "costs": await measure_footprint(sides.stack, sides.integrator),
    }


async def growth_results(
    sides: Sides, config: BenchConfig, log: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Return the figures with each number of open payments."""
    return [
        {
            "open_payments": level.open_payments,
            "figures": report.collect_figures(level.rounds),
            "memory": level.memory,
        }
        for level in await measure_growth(sides, config, log)
    ]


async def _round(sides: Sides, config: BenchConfig, number: int) -> Figures:
    ours_first = number % 2 == 0
    return {
        **await payments(sides, config, ours_first),
        **await reads(sides, config, ours_first),
        **await notifications(sides, config),
    }
