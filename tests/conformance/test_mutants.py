"""Every defect in the museum is caught by the check that is named for it."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from integrator.psp.conformance import runner
from integrator.psp.conformance.context import KitRun
from integrator.psp.conformance.results import Violation
from integrator.psp.conformance.runner import Case
from integrator.psp.sandbox import SandboxAdapter
from tests.conformance.emulator_harness import running_sandbox
from tests.conformance.mutants import DOCUMENT, exhibits, page
from tests.conformance.mutants_base import BatchAdapter, BatchHarness, Exhibit, at

LESSONS = Path(__file__).parents[2] / "docs" / "lessons-learned.md"
SHOWN = exhibits()
# What never comes is waited for this long.
PATIENCE_SECONDS = 2.5

Sound = dict[type[SandboxAdapter], KitRun]


@pytest.fixture(scope="module")
async def sound() -> AsyncIterator[Sound]:
    """The adapters without a defect, at one sandbox PSP."""
    async with running_sandbox() as psp, runner.transport() as transport:
        rigs: Sound = {}
        for adapter in (SandboxAdapter, BatchAdapter):
            bench = BatchHarness(psp)
            bench.patience = PATIENCE_SECONDS
            await bench.register()
            rigs[adapter] = KitRun(bench, at(adapter, psp.url), transport)
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
    assert isinstance(rig.bench, BatchHarness)
    assert rig.bench.stand_in is not None
    defective = KitRun(rig.bench, at(exhibit, rig.bench.stand_in.url), rig.transport)
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
    assert DOCUMENT.read_text() == page(), "run: python -m tests.conformance.mutants"
