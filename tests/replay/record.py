"""Record histories for the replay tests: `python -m tests.replay.record [NAME ...]`.

Existing files are not overwritten: they represent transactions that are open in production.
"""

import asyncio
import json
import re
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from temporalio.testing import WorkflowEnvironment

from tests.integration.workflows.conftest import WorkflowHarness, open_harness, start_environment
from tests.replay.corpus import HISTORIES
from tests.replay.scenarios import (
    decisions,
    extremes,
    failures,
    payments,
    preauths,
    reconciliations,
    refunds,
    rewound,
    searchable,
    waiting,
)
from tests.replay.scenarios.builders import Handle

Scenario = Callable[[WorkflowEnvironment], Coroutine[Any, Any, dict[str, Any]]]
TransactionScenario = Callable[[WorkflowHarness], Coroutine[Any, Any, Handle]]

MACHINE = {"stackTrace", "identity"}
PROCESS = re.compile(r"^\d+@[\w.]+")  # prefix of the names of sticky task queues

LONG_HISTORY = {"limit.historyCount.suggestContinueAsNew": "30"}


def record_transaction(scenario: TransactionScenario) -> Scenario:
    async def record_history(env: WorkflowEnvironment) -> dict[str, Any]:
        async with open_harness(env) as harness:
            handle = await scenario(harness)
            history = (await handle.fetch_history()).to_json_dict()
            return history if handle.run_id is None else with_run_id(history, handle.run_id)

    return record_history


def with_run_id(history: dict[str, Any], run_id: str) -> dict[str, Any]:
    """Set the id of a run that was reset: the replayer takes it from the original run's."""
    started = history["events"][0]["workflowExecutionStartedEventAttributes"]
    started["originalExecutionRunId"] = run_id
    return history


def record_reconciliation(
    scenario: Callable[[WorkflowEnvironment], Coroutine[Any, Any, Handle]],
) -> Scenario:
    async def record_history(env: WorkflowEnvironment) -> dict[str, Any]:
        return (await (await scenario(env)).fetch_history()).to_json_dict()

    return record_history


TRANSACTIONS = (
    *payments.SCENARIOS,
    *decisions.SCENARIOS,
    *extremes.SCENARIOS,
    *failures.SCENARIOS,
    *preauths.SCENARIOS,
    *refunds.SCENARIOS,
    *rewound.SCENARIOS,
    *searchable.SCENARIOS,
    *waiting.SCENARIOS,
)
SCENARIOS: dict[str, Scenario] = {
    scenario.__name__: record_transaction(scenario) for scenario in TRANSACTIONS
} | {scenario.__name__: record_reconciliation(scenario) for scenario in reconciliations.SCENARIOS}
LONG_SCENARIOS = {
    scenario.__name__: record_transaction(scenario) for scenario in failures.LONG_SCENARIOS
}


async def main(names: list[str]) -> None:
    """Record the named scenarios, or all, that have no file yet."""
    await record_missing(SCENARIOS, names, {})
    await record_missing(LONG_SCENARIOS, names, LONG_HISTORY)


async def record_missing(
    scenarios: dict[str, Scenario], names: list[str], server: dict[str, str]
) -> None:
    paths = {
        HISTORIES / f"{name.replace('_', '-')}.json": scenario
        for name, scenario in scenarios.items()
    }
    missing = {
        path: scenario
        for path, scenario in paths.items()
        if not path.exists() and (not names or path.stem in names)
    }
    if not missing:
        return
    async with start_environment(server) as env:
        for path, scenario in missing.items():
            sys.stdout.write(f"{path.stem}\n")
            path.write_text(json.dumps(anonymize(await scenario(env)), indent=1) + "\n")


def anonymize(part: Any) -> Any:
    """Remove what identifies the recording machine; replaying does not need it."""
    if isinstance(part, dict):
        return {key: anonymize(value) for key, value in part.items() if key not in MACHINE}
    if isinstance(part, list):
        return [anonymize(item) for item in part]
    return PROCESS.sub("worker", part) if isinstance(part, str) else part


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
