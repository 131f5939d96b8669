"""Replay of stored histories: a change that breaks one breaks transactions in flight.

The files are written by `python -m tests.replay.record`. A new branch of a workflow gets a new
history; an existing one is never recorded again.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from integrator.temporal.workflow_sandbox import runner
from tests.replay.corpus import (
    HISTORIES,
    FailureRecorder,
    create_replayer,
    history_paths,
    load_history,
)
from tests.replay.scenarios import extremes

COMPLETED = "workflow_task_completed_event_attributes"
FAILED = "workflow_task_failed_event_attributes"


def test_there_are_histories_of_every_workflow() -> None:
    kinds = {path.name.split("-")[0] for path in history_paths()}
    assert kinds == {"preauth", "payment", "refund", "reconcile"}


def test_no_history_contains_paths_of_the_recording_machine() -> None:
    names = [path.name for path in history_paths() if "site-packages" in path.read_text()]
    assert names == []


@pytest.mark.parametrize("path", history_paths(), ids=lambda path: path.stem)
async def test_a_recorded_history_replays(path: Path) -> None:
    recorder = FailureRecorder(runner())
    await create_replayer(recorder).replay_workflow(load_history(path))
    assert recorder.failures == []


@pytest.mark.parametrize("name", [scenario.__name__ for scenario in extremes.SCENARIOS])
async def test_a_transaction_that_had_stopped_goes_on(name: str) -> None:
    """Its history ends with a failed task of the code of then; see the test above for ours."""
    history = load_history(HISTORIES / f"{name.replace('_', '-')}.json")
    ended = [event.WhichOneof("attributes") for event in history.events]
    ended = [name for name in ended if name in (COMPLETED, FAILED)]
    assert ended[-1] == FAILED


def test_every_branch_that_a_history_can_go_through_is_covered() -> None:
    """Run in a separate process: measured modules must be imported during the measurement."""
    command = [sys.executable, "-m", "tests.replay.coverage"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
