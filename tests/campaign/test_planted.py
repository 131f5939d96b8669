"""The planted bugs of the control fit the product as it is now."""

import subprocess
import sys
from pathlib import Path

import pytest

from devtools.campaign.mutation_control import BUGS
from devtools.campaign.run import snapshot
from devtools.campaign.violations import Column

ROOT = Path(__file__).parents[2]
HOOK = ROOT / "devtools" / "campaign" / "process_hook"
PLANT = "import sys; sys.path.insert(0, '.'); import planted_bugs as p; p.plant(sys.argv[1])"


@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_can_be_planted(bug: str) -> None:
    command = [sys.executable, "-c", PLANT, bug]
    done = subprocess.run(
        command, cwd=ROOT, env={"PYTHONPATH": str(HOOK)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == f"planted: {bug}\n"


def test_every_column_is_proven() -> None:
    assert set(BUGS.values()) == set(Column)


def test_no_process_but_the_worker_and_the_api_is_touched(tmp_path: Path) -> None:
    env = {"PYTHONPATH": str(HOOK), "CAMPAIGN_PLANTED": "no such bug"}
    subprocess.run([sys.executable, "-m", "this"], cwd=ROOT, env=env, check=True)
    copy = snapshot(tmp_path / "code")
    assert (copy / "worker.py").exists()
    assert not (copy / "devtools" / "campaign").exists()
