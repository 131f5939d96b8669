"""Runs cases concurrently on one stack, and prints the table operation x phase."""

import asyncio
import os
import re
import signal
import time
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.e2e.operations.aftermath import continue_case
from tests.e2e.operations.cases import Case, Operation, Phase
from tests.e2e.operations.operator_commands import OperatorCommands
from tests.e2e.operations.scenario import PhaseNotReached, Scenario
from tests.e2e.operations.verdict import Column, Violation, find_violations
from tests.e2e.operations.world import World

CONCURRENT_OPERATIONS = 16
"""Cases between the beginning of their phase and the end of its faults; few enough for calls in
flight to be still in flight when the operation comes."""
CONCURRENT_CASES = 120
DECISION_SECONDS = 100.0
LATE_SECONDS = 15.0
"""How long to wait for what should never come: a movement after everything was decided."""
BATCH = 40
"""Cases that start while the worker is stopped, at a time."""

Report = Callable[[str], None]


@dataclass
class Result:
    """A finished case; `skipped` is why it says nothing.

    `refused_requests` are the violations in the answers to later requests.
    """

    scenario: Scenario
    violations: list[Violation] = field(default_factory=list)
    refused_requests: list[Violation] = field(default_factory=list)
    skipped: str | None = None

    @property
    def case(self) -> Case:
        """Return the cell of the table."""
        return self.scenario.case


class Table:
    """Runs cases of all phases; `report` gets a line for each failure as it is found."""

    def __init__(self, world: World, report: Report) -> None:
        self._world = world
        self._report = report
        self._commands = OperatorCommands(world)
        self._operating = asyncio.Semaphore(CONCURRENT_OPERATIONS)
        self._running = asyncio.Semaphore(CONCURRENT_CASES)

    async def run(self, cases: Sequence[Case]) -> list[Result]:
        """Run all cases, and look at each a second time when all have ended."""
        results = [Result(Scenario(self._world, self._commands, case)) for case in cases]
        stopped = [r for r in results if r.case.phase is Phase.BEFORE_SEND]
        for start in range(0, len(stopped), BATCH):
            await self._run_with_stopped_worker(stopped[start : start + BATCH])
        others = [r for r in results if r.case.phase is not Phase.BEFORE_SEND]
        await asyncio.gather(*(self._run_one(result) for result in others))
        await asyncio.sleep(LATE_SECONDS)
        await asyncio.gather(*(self._look_again(result) for result in results))
        return results

    async def _run_with_stopped_worker(self, results: Sequence[Result]) -> None:
        await asyncio.gather(*(r.scenario.prepare() for r in results))
        with stopped_worker(self._world):
            await self._attempt(results, Scenario.reach)
            await self._attempt(results, Scenario.operate)
        await asyncio.gather(*(self._finish(result) for result in results))

    async def _attempt(
        self, results: Sequence[Result], step: Callable[[Scenario], Awaitable[None]]
    ) -> None:
        await asyncio.gather(*(step(result.scenario) for result in results))

    async def _run_one(self, result: Result) -> None:
        async with self._running:
            try:
                await result.scenario.prepare()
                async with self._operating:
                    await result.scenario.reach()
                    await result.scenario.operate()
                    await result.scenario.go_on()
            except PhaseNotReached as error:
                result.skipped = str(error)
                self._report(f"SKIPPED {error}")
                return
            except Exception:
                self._report(f"BROKEN {result.case.name}: {traceback.format_exc()}")
                raise
            await self._finish(result)

    async def _finish(self, result: Result) -> None:
        """Wait until the case is decided, continue it, and wait again."""
        if result.case.phase is Phase.BEFORE_SEND:
            await result.scenario.go_on()
        violations = await self._wait_until_right(result)
        if not violations:
            result.refused_requests = await continue_case(self._world, result.scenario)
            violations = await self._wait_until_right(result)
        result.violations = [*result.refused_requests, *violations]
        await self._report_violations(result)

    async def _wait_until_right(self, result: Result) -> list[Violation]:
        deadline, pause = time.monotonic() + DECISION_SECONDS, 0.3
        while violations := await find_violations(self._world, result.scenario):
            if time.monotonic() > deadline or any(v.column is Column.DOUBLE for v in violations):
                break
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 5.0)
        return violations

    async def _look_again(self, result: Result) -> None:
        """Judge the state after everything: a busy machine may only have been slow before."""
        if result.skipped:
            return
        before = result.violations
        violations = await find_violations(self._world, result.scenario)
        result.violations = [*result.refused_requests, *violations]
        if not before:
            await self._report_violations(result)
        elif not result.violations:
            self._report(f"RIGHT AFTER ALL, LATE: {result.case.name}")

    async def _report_violations(self, result: Result) -> None:
        for violation in result.violations:
            refusal = f" (refused: {result.scenario.refusal})" if result.scenario.refusal else ""
            run = await self._world.describe_run(violation.transaction)
            self._report(
                f"{violation.column.upper()}: {result.case.name}{refusal}: "
                f"{violation.transaction}: {violation.text} [{run}]"
            )


@contextmanager
def stopped_worker(world: World) -> Iterator[None]:
    """Stop the worker's process meanwhile."""
    worker = int(world.stack.run["pids"]["worker"])
    os.kill(worker, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(worker, signal.SIGCONT)


def counts(results: Sequence[Result]) -> Counter[Column]:
    """Return the number of cases with a violation of each kind."""
    return Counter(column for r in results for column in {v.column for v in r.violations})


def format_table(results: Sequence[Result]) -> str:
    """Return operation x phase as Markdown: cases, and violations `double/lost/stuck/wrong`."""
    phases = [phase for phase in Phase if any(r.case.phase is phase for r in results)]
    lines = [
        "| Operation | " + " | ".join(phases) + " | all |",
        "|---" * (len(phases) + 2) + "|",
    ]
    for operation in Operation:
        row = [r for r in results if r.case.operation is operation]
        if row:
            cells = [[r for r in row if r.case.phase is phase] for phase in phases]
            lines.append(f"| {operation} | " + " | ".join(map(_cell, [*cells, row])) + " |")
    lines.append(_footer(results))
    return "\n".join(lines)


def _cell(results: Sequence[Result]) -> str:
    run = [result for result in results if result.skipped is None]
    if not results:
        return "–"
    found = counts(run)
    problems = "/".join(str(found[column]) for column in Column) if found else "ok"
    skipped = f" ({len(results) - len(run)} skipped)" if len(run) < len(results) else ""
    return f"{len(run)} {problems}{skipped}"


def _footer(results: Sequence[Result]) -> str:
    found = counts(results)
    text = ", ".join(f"{found[column]} {column}" for column in Column)
    skipped = sum(result.skipped is not None for result in results)
    lines = [f"\n{len(results)} cases: {text}; {skipped} did not get to their phase"]
    refusals = Counter(
        (result.case.operation, _reason(result.scenario.refusal))
        for result in results
        if result.scenario.refusal is not None
    )
    lines += [f"without effect: {n} times {of}: {why}" for (of, why), n in refusals.most_common()]
    return "\n".join(lines)


def _reason(refusal: str) -> str:
    """Return Temporal's reason without the ids in it."""
    return re.sub(r"ActivityID \d+", "ActivityID", refusal).partition("\n")[0]
