"""Every defect in the museum is caught by the check that is named for it."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from psp.kit import runner
from psp.kit.runner import Case
from psp.kit.verdicts import Violation
from psp.kit.world import Rig
from psp.sandbox import SandboxAdapter
from tests.kit.dialect_bench import stand_in
from tests.kit.exhibits import BatchAdapter, BatchBench, Exhibit, at
from tests.kit.museum import DOCUMENT, exhibits, page

LESSONS = Path(__file__).parents[2] / "docs" / "lessons-learned.md"
SHOWN = exhibits()
# What never comes is waited for this long.
PATIENCE_SECONDS = 2.5

Sound = dict[type[SandboxAdapter], Rig]


@pytest.fixture(scope="module")
async def sound() -> AsyncIterator[Sound]:
    """The adapters without a defect, at one sandbox PSP."""
    async with stand_in() as psp, runner.transport() as transport:
        rigs: Sound = {}
        for adapter in (SandboxAdapter, BatchAdapter):
            bench = BatchBench(psp)
            bench.patience = PATIENCE_SECONDS
            await bench.register()
            rigs[adapter] = Rig(bench, at(adapter, psp.url), transport)
        yield rigs


@pytest.fixture(scope="module")
async def cases(sound: Sound) -> dict[str, Case]:
    """The kit's cases as `area.check[label]`."""
    found = await runner.cases(sound[SandboxAdapter])
    return {f"{case.check.area}.{case.name}": case for case in found}


@pytest.mark.parametrize("exhibit", SHOWN, ids=lambda exhibit: exhibit.__name__)
async def test_a_defect_is_caught(
    exhibit: type[Exhibit], sound: Sound, cases: dict[str, Case]
) -> None:
    rig, case = sound[exhibit.sound], cases[exhibit.caught_by]
    await runner.run(rig, case)
    assert isinstance(rig.bench, BatchBench)
    assert rig.bench.stand_in is not None
    defective = Rig(rig.bench, at(exhibit, rig.bench.stand_in.url), rig.transport)
    with pytest.raises(Violation):
        await runner.run(defective, case)


def test_the_museum_is_large_enough() -> None:
    lessons = {exhibit.lesson for exhibit in SHOWN} - {None}
    assert len(lessons) >= 15
    assert len({exhibit.__name__ for exhibit in SHOWN}) == len(SHOWN)


def test_the_lessons_exist() -> None:
    rows = set(map(int, re.findall(r"^\| (\d+) \|", LESSONS.read_text(), re.MULTILINE)))
    assert {exhibit.lesson for exhibit in SHOWN} - {None} <= rows


def test_the_page_is_up_to_date() -> None:
    assert DOCUMENT.read_text() == page(), "run: python -m tests.kit.museum"
