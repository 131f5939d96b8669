"""Every mutant in the defect catalogue is caught by the check named for it."""

import re
from collections.abc import AsyncIterator

import pytest

from integrator.psp.conformance import runner
from integrator.psp.conformance.context import KitRun
from integrator.psp.conformance.results import Violation
from integrator.psp.conformance.runner import Case
from integrator.psp.sandbox import SandboxAdapter
from tests.conformance.emulator_harness import running_sandbox
from tests.conformance.mutants import DOCUMENT, all_mutants, render_catalogue
from tests.conformance.mutants_base import (
    BatchAdapter,
    ChainAdapter,
    Mutant,
    ParentAdapter,
    adapter_at,
)
from tests.conformance.realistic_psp import RealisticAdapter, RealisticHarness
from tests.support.paths import ROOT

LESSONS = ROOT / "docs" / "lessons-learned.md"
MUTANTS = all_mutants()
# Mutants that lose an event make the kit wait this long.
TIMEOUT_SECONDS = 2.5

KitRuns = dict[type[SandboxAdapter], KitRun]


@pytest.fixture(scope="module")
async def kit_runs() -> AsyncIterator[KitRuns]:
    """Connect the correct adapters to one sandbox PSP."""
    async with running_sandbox() as psp, runner.open_transport() as transport:
        runs: KitRuns = {}
        for adapter in (
            *(SandboxAdapter, BatchAdapter, ParentAdapter, ChainAdapter),
            RealisticAdapter,
        ):
            harness = RealisticHarness(psp)
            harness.timeout = TIMEOUT_SECONDS
            await harness.register_account()
            runs[adapter] = KitRun(harness, adapter_at(adapter, psp.url), transport)
        yield runs


@pytest.fixture(scope="module")
async def cases(kit_runs: KitRuns) -> dict[str, Case]:
    """Return the kit's cases by `area.check[label]`."""
    collected = await runner.collect_cases(kit_runs[SandboxAdapter])
    return {f"{case.check.area}.{case.name}": case for case in collected}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
async def test_a_mutant_is_caught(
    mutant: type[Mutant], kit_runs: KitRuns, cases: dict[str, Case]
) -> None:
    kit_run, case = kit_runs[mutant.baseline], cases[mutant.caught_by]
    await runner.run_case(kit_run, case)
    assert isinstance(kit_run.harness, RealisticHarness)
    assert kit_run.harness.sandbox is not None
    defective = KitRun(
        kit_run.harness, adapter_at(mutant, kit_run.harness.sandbox.url), kit_run.transport
    )
    with pytest.raises(Violation):
        await runner.run_case(defective, case)


def test_the_catalogue_covers_enough_lessons() -> None:
    lessons = {mutant.lesson for mutant in MUTANTS} - {None}
    assert len(lessons) >= 15
    assert len({mutant.__name__ for mutant in MUTANTS}) == len(MUTANTS)


def test_the_lessons_exist() -> None:
    rows = set(map(int, re.findall(r"^\| (\d+) \|", LESSONS.read_text(), re.MULTILINE)))
    assert {mutant.lesson for mutant in MUTANTS} - {None} <= rows


def test_the_catalogue_is_up_to_date() -> None:
    assert DOCUMENT.read_text() == render_catalogue(), "run: python -m tests.conformance.mutants"
