"""Writes histories for the replay tests: `python -m tests.replay.record [NAME ...]`.

Existing files are left alone: they stand for transactions that are open somewhere.
"""

import asyncio
import json
import re
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from temporalio.testing import WorkflowEnvironment

from tests.replay.scenarios import (
    decisions,
    failures,
    payments,
    preauths,
    reconciliations,
    refunds,
    searchable,
)
from tests.replay.scenarios.parts import Handle
from tests.workflows.conftest import World, opened, started

FOLDER = Path(__file__).parent / "histories"

Story = Callable[[WorkflowEnvironment], Coroutine[Any, Any, dict[str, Any]]]
TransactionStory = Callable[[World], Coroutine[Any, Any, Handle]]

MACHINE = {"stackTrace", "identity"}
PROCESS = re.compile(r"^\d+@[\w.]+")  # begins the names of workers' own queues

LONG_HISTORY = {"limit.historyCount.suggestContinueAsNew": "30"}


def of_transaction(story: TransactionStory) -> Story:
    async def told(env: WorkflowEnvironment) -> dict[str, Any]:
        async with opened(env) as world:
            return (await (await story(world)).fetch_history()).to_json_dict()

    return told


def of_run(story: Callable[[WorkflowEnvironment], Coroutine[Any, Any, Handle]]) -> Story:
    async def told(env: WorkflowEnvironment) -> dict[str, Any]:
        return (await (await story(env)).fetch_history()).to_json_dict()

    return told


TRANSACTIONS = (
    *payments.STORIES,
    *decisions.STORIES,
    *failures.STORIES,
    *preauths.STORIES,
    *refunds.STORIES,
    *searchable.STORIES,
)
STORIES: dict[str, Story] = {story.__name__: of_transaction(story) for story in TRANSACTIONS} | {
    story.__name__: of_run(story) for story in reconciliations.STORIES
}
LONG_STORIES = {story.__name__: of_transaction(story) for story in failures.LONG}


async def main(names: list[str]) -> None:
    """Record the named stories, or all, that have no file yet."""
    await record(STORIES, names, {})
    await record(LONG_STORIES, names, LONG_HISTORY)


async def record(stories: dict[str, Story], names: list[str], server: dict[str, str]) -> None:
    paths = {FOLDER / f"{name.replace('_', '-')}.json": story for name, story in stories.items()}
    missing = {
        path: story
        for path, story in paths.items()
        if not path.exists() and (not names or path.stem in names)
    }
    if not missing:
        return
    async with started(server) as env:
        for path, story in missing.items():
            sys.stdout.write(f"{path.stem}\n")
            path.write_text(json.dumps(anonymous(await story(env)), indent=1) + "\n")


def anonymous(part: Any) -> Any:
    """The same without what tells of the machine it was recorded on; replaying needs none of it."""
    if isinstance(part, dict):
        return {key: anonymous(value) for key, value in part.items() if key not in MACHINE}
    if isinstance(part, list):
        return [anonymous(item) for item in part]
    return PROCESS.sub("worker", part) if isinstance(part, str) else part


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
