"""Histories of released workflows must replay: a change that breaks one breaks money in flight.

The files are written by `python -m tests.replay.record`; a new branch of a workflow gets a new
history, an old one is never recorded again.
"""

from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from worker import WORKFLOWS, runner

HISTORIES = sorted((Path(__file__).parent / "histories").glob("*.json"))


def test_there_are_histories_of_every_workflow() -> None:
    kinds = {path.name.split("-")[0] for path in HISTORIES}
    assert kinds == {"preauth", "payment", "refund"}


def test_no_history_tells_of_the_machine_it_was_recorded_on() -> None:
    told = [path.name for path in HISTORIES if "site-packages" in path.read_text()]
    assert told == []


@pytest.fixture(params=HISTORIES, ids=lambda path: path.stem)
def history(request: pytest.FixtureRequest) -> WorkflowHistory:
    return WorkflowHistory.from_json(request.param.stem, request.param.read_text())


async def test_a_recorded_history_replays(history: WorkflowHistory) -> None:
    replayer = Replayer(
        workflows=WORKFLOWS,
        data_converter=pydantic_data_converter,
        workflow_runner=runner(),
    )
    await replayer.replay_workflow(history)
