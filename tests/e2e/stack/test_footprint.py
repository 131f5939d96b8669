"""Test the stack's memory after all other tests."""

from pathlib import Path

import pytest

from tests.e2e.stack.environment import Environment

pytestmark = pytest.mark.e2e

PARTS = ("api", "worker", "sandbox_psp")
LIMIT_MB = 400


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        pytest.skip("this system has no /proc")
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines["VmRSS"].split()[0]) / 1024


@pytest.mark.usefixtures("run_last")
def test_the_processes_stay_within_the_memory_limit(
    environment: Environment, figures: list[str]
) -> None:
    pids = environment.stack.run["pids"]
    used = {name: resident_mb(pids[name]) for name in PARTS}
    listing = ", ".join(f"{name} {used_mb:.0f} MB" for name, used_mb in used.items())
    figures.append(f"resident memory: {listing}, together {sum(used.values()):.0f} MB")
    assert sum(used.values()) < LIMIT_MB
