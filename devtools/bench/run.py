"""What is measured on which stack, in which order."""

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from devtools.bench import environment, report
from devtools.bench.baseline import Engine
from devtools.bench.config import Knobs
from devtools.bench.footprint import costs
from devtools.bench.growth import grow, memory
from devtools.bench.integrator_driver import platform
from devtools.bench.measurements import Figures, Sides, notifications, payments, reads, warm_up
from devtools.bench.stack import VARIANTS, Variant, running


async def measure(knobs: Knobs, say: Callable[[str], None]) -> dict[str, Any]:
    """Every variant in turn, or the growth of the first; the content of a results file."""
    result: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": environment.commit(),
        "machine": environment.machine(),
        "versions": environment.versions(),
        "knobs": asdict(knobs),
        "variants": {},
        "growth": [],
    }
    if knobs.growth:
        async with both_sides(VARIANTS[0], knobs) as sides:
            result["growth"] = await growth(sides, knobs, say)
        return result
    for variant in VARIANTS:
        if knobs.variants and variant.name not in knobs.variants:
            continue
        say(f"{variant.name}: {knobs.rounds} rounds")
        async with both_sides(variant, knobs) as sides:
            result["variants"][variant.name] = asdict(variant) | await figures(sides, knobs)
    return result


@asynccontextmanager
async def both_sides(variant: Variant, knobs: Knobs) -> AsyncIterator[Sides]:
    """A warm stack of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        async with running(variant, Path(folder)) as stack, platform(stack) as ours:
            sides = Sides(stack, ours, Engine(stack.client), [], [])
            await warm_up(sides, knobs)
            yield sides


async def figures(sides: Sides, knobs: Knobs) -> dict[str, Any]:
    """All figures of one variant."""
    rounds = [await _round(sides, knobs, number) for number in range(knobs.rounds)]
    return {
        "figures": report.gathered(rounds),
        "memory": memory(sides.stack),
        "costs": await costs(sides.stack, sides.platform),
    }


async def growth(sides: Sides, knobs: Knobs, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """The figures with each number of open payments."""
    return [
        {
            "open_payments": level.open_payments,
            "figures": report.gathered(level.rounds),
            "memory": level.memory,
        }
        for level in await grow(sides, knobs, say)
    ]


async def _round(sides: Sides, knobs: Knobs, number: int) -> Figures:
    ours_first = number % 2 == 0
    return {
        **await payments(sides, knobs, ours_first),
        **await reads(sides, knobs, ours_first),
        **await notifications(sides, knobs),
    }
