"""Histories of released workflows must replay: a change that breaks one breaks money in flight.

The files are written by `python -m tests.replay.record`; a new branch of a workflow gets a new
history, an old one is never recorded again.
"""

import subprocess
import sys
from pathlib import Path

import pytest

from integrator.temporal.workflow_sandbox import runner
from tests.replay.corpus import every_path, history, replayer


def test_there_are_histories_of_every_workflow() -> None:
    kinds = {path.name.split("-")[0] for path in every_path()}
    assert kinds == {"preauth", "payment", "refund", "reconcile"}


def test_no_history_tells_of_the_machine_it_was_recorded_on() -> None:
    told = [path.name for path in every_path() if "site-packages" in path.read_text()]
    assert told == []


@pytest.mark.parametrize("path", every_path(), ids=lambda path: path.stem)
async def test_a_recorded_history_replays(path: Path) -> None:
    await replayer(runner()).replay_workflow(history(path))


def test_every_branch_that_a_history_can_go_through_is_covered() -> None:
    """In a process of its own: what is measured must be imported while it is measured."""
    command = [sys.executable, "-m", "tests.replay.coverage"]
    measured = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert measured.returncode == 0, measured.stdout + measured.stderr
