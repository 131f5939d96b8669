"""How much memory the stack takes after all it has done."""

from pathlib import Path

import pytest

from tests.e2e.platform import World

pytestmark = pytest.mark.e2e

PARTS = ("api", "worker", "sandbox_psp")
LIMIT_MB = 400


def resident_mb(pid: int) -> float:
    """Resident memory of a process."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        pytest.skip("this system has no /proc")
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(lines["VmRSS"].split()[0]) / 1024


@pytest.mark.usefixtures("comes_last")
def test_the_processes_stay_small(world: World, figures: list[str]) -> None:
    pids = world.stack.run["pids"]
    used = {name: resident_mb(pids[name]) for name in PARTS}
    shown = ", ".join(f"{name} {used_mb:.0f} MB" for name, used_mb in used.items())
    figures.append(f"resident memory: {shown}, together {sum(used.values()):.0f} MB")
    assert sum(used.values()) < LIMIT_MB
