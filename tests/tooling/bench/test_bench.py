"""Run the benchmark with minimal settings; its figures are not meaningful."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from devtools.bench import plot, report
from devtools.bench.config import BenchConfig
from devtools.bench.measurements import Sides
from devtools.bench.run import growth_results, measure_variant, prepared_sides
from devtools.bench.stack import VARIANTS
from tests.support.temporal import temporal_binary

CONFIG = BenchConfig(
    rounds=1, phase=0.6, warm_up=0.2, notifications=1, callers=2, crowd=4, growth=(0, 20)
)
THROUGHPUT = "POST, 4 callers: payments per second"


@pytest.fixture(scope="module")
async def sides() -> AsyncIterator[Sides]:
    temporal_binary()
    async with prepared_sides(VARIANTS[0], CONFIG) as sides:
        yield sides


async def test_every_ratio_has_both_sides(sides: Sides) -> None:
    base = json.loads(json.dumps(await measure_variant(sides, CONFIG)))
    assert all(value > 0 for sides in base["figures"].values() for value in sides["ours"])
    ratios = {name for name, sides in base["figures"].items() if report.ratios(sides)}
    assert set(report.TARGETS) - ratios == {"POST, 32 callers: payments per second"}
    assert THROUGHPUT in ratios
    assert base["costs"]["charge: store rows"] == 1
    assert base["costs"]["capture: events"] >= 10
    assert set(base["memory"]) == {"api", "bare", "psp", "temporal", "worker"}


async def test_growth_is_measured_with_open_payments(sides: Sides, tmp_path: Path) -> None:
    messages: list[str] = []
    levels = await growth_results(sides, CONFIG, messages.append)
    assert [level["open_payments"] for level in levels] == [0, 20]
    assert [line.split()[0] for line in messages] == ["0", "POST", "20", "POST"]
    assert all(
        figure["ours"] and figure["bare"]
        for level in levels
        for figure in level["figures"].values()
    )
    picture = plot.draw({"variants": {}, "growth": levels}, tmp_path / "growth.png")
    assert picture.stat().st_size > 10_000
