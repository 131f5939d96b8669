"""Test Temporal operations on transactions: a sample of the table (`make operation-table`)."""

import pytest

from tests.e2e.operations import table
from tests.e2e.operations.cases import (
    SAMPLE,
    Case,
    Operation,
    Phase,
    all_cases,
    all_combinations,
    sample_cases,
    why_meaningless,
)
from tests.e2e.operations.table import Result, Table
from tests.e2e.operations.world import World

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
async def results(world: World, figures: list[str]) -> dict[str, Result]:
    """The results of the sample by the cases' names, run concurrently."""
    reported: list[str] = []
    results = await Table(world, reported.append).run(sample_cases())
    figures.append(f"{len(results)} Temporal operations: {len(reported)} violations")
    return {result.case.name: result for result in results}


@pytest.mark.parametrize("case", sample_cases(), ids=lambda case: case.name)
def test_an_operation_moves_nothing_twice_and_loses_nothing(
    results: dict[str, Result], case: Case
) -> None:
    result = results[case.name]
    assert result.skipped is None
    assert result.scenario.refusal is None
    assert result.violations == []


def test_the_sample_consists_of_meaningful_cells() -> None:
    assert len(sample_cases()) == len(SAMPLE)


def test_every_operation_and_phase_is_in_the_table() -> None:
    cases = all_cases()
    assert {case.operation for case in cases} == set(Operation)
    assert {case.phase for case in cases} == set(Phase)
    reasons = [why_meaningless(case) for case in all_combinations()]
    assert reasons.count(None) == len(cases)


def test_the_table_counts_violations_by_operation_and_phase(results: dict[str, Result]) -> None:
    text = table.format_table(list(results.values()))
    assert f"{len(results)} cases" in text
    assert "| terminate |" in text
