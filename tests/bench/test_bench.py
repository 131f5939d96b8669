"""The measuring itself: with so little of everything that its figures mean nothing."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from devtools.bench import plot, report
from devtools.bench.config import Knobs
from devtools.bench.measurements import Sides
from devtools.bench.run import both_sides, figures, growth
from devtools.bench.stack import VARIANTS
from tests.support.temporal import temporal_binary

TINY = Knobs(rounds=1, phase=0.6, warm_up=0.2, notifications=1, callers=2, crowd=4, growth=(0, 20))
CROWD = "POST, 4 callers: payments per second"


@pytest.fixture(scope="module")
async def sides() -> AsyncIterator[Sides]:
    temporal_binary()
    async with both_sides(VARIANTS[0], TINY) as sides:
        yield sides


async def test_both_sides_of_every_ratio_are_measured(sides: Sides) -> None:
    base = json.loads(json.dumps(await figures(sides, TINY)))
    assert all(value > 0 for sides in base["figures"].values() for value in sides["ours"])
    compared = {name for name, sides in base["figures"].items() if report.ratios(sides)}
    assert set(report.TARGETS) - compared == {"POST, 32 callers: payments per second"}
    assert CROWD in compared
    assert base["costs"]["charge: store rows"] == 1
    assert base["costs"]["capture: events"] >= 10
    assert set(base["memory"]) == {"api", "bare", "psp", "temporal", "worker"}


async def test_open_payments_are_made_and_measured_with(sides: Sides, tmp_path: Path) -> None:
    said: list[str] = []
    levels = await growth(sides, TINY, said.append)
    assert [level["open_payments"] for level in levels] == [0, 20]
    assert [line.split()[0] for line in said] == ["0", "POST", "20", "POST"]
    assert all(one["ours"] and one["bare"] for level in levels for one in level["figures"].values())
    drawn = plot.draw({"variants": {}, "growth": levels}, tmp_path / "growth.png")
    assert drawn.stat().st_size > 10_000
