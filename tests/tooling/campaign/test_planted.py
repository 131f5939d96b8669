"""The planted bugs of the control can be applied to the current product."""

import subprocess
import sys
from pathlib import Path

import pytest

from devtools.campaign.fault_schedule import FAULT_KINDS
from devtools.campaign.mutation_control import BUGS
from devtools.campaign.run import copy_product
from devtools.campaign.violations import Column
from tests.support.paths import ROOT

HOOK = ROOT / "devtools" / "campaign" / "process_hook"
PLANT = "import sys; sys.path.insert(0, '.'); import planted_bugs as p; p.plant(sys.argv[1])"


@pytest.mark.parametrize("bug", BUGS)
def test_a_bug_can_be_planted(bug: str) -> None:
    command = [sys.executable, "-c", PLANT, bug]
    result = subprocess.run(
        command, cwd=ROOT, env={"PYTHONPATH": str(HOOK)}, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert result.stderr == f"planted: {bug}\n"


def test_every_column_has_a_planted_bug() -> None:
    assert {bug.column for bug in BUGS.values()} == set(Column)


def test_the_faults_that_expose_a_bug_exist() -> None:
    for bug in BUGS.values():
        assert bug.faults <= set(FAULT_KINDS)


def test_only_worker_and_api_are_changed(tmp_path: Path) -> None:
    env = {"PYTHONPATH": str(HOOK), "CAMPAIGN_PLANTED": "no such bug"}
    subprocess.run([sys.executable, "-m", "this"], cwd=ROOT, env=env, check=True)
    copy = copy_product(tmp_path / "code")
    assert (copy / "worker.py").exists()
    assert not (copy / "devtools" / "campaign").exists()
