"""An upgrade under load, from the recorded code to this one: nobody notices it.

The order is that of docs/changing-workflows.md: migrate, then the workers, then the API. The
workers go back and forth, each time with both versions at work for a while. It is slow, about
40 s: each of a dozen processes takes two seconds to start, most of them one after the other.
`ROLLING_SECONDS` and `ROLLING_CALLERS` make it longer and harder.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.e2e.sandbox import SandboxPsp
from tests.rolling.balancer import Call
from tests.rolling.deployment import NEW, Code, Fleet, Instance, opened, previous
from tests.rolling.load import Load, Rested, merchant

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

PHASE_SECONDS = float(os.environ.get("ROLLING_SECONDS", "0.5"))
CALLERS = int(os.environ.get("ROLLING_CALLERS", "2"))


@dataclass
class Upgrade:
    """What was seen; `phases` are names with the wall-clock times between which they lasted."""

    phases: list[tuple[str, float, float]] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    failures: list[tuple[float, str]] = field(default_factory=list)
    losses: list[str] = field(default_factory=list)
    rested: list[Rested] = field(default_factory=list)
    drained: list[float] = field(default_factory=list)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        began = time.time()
        yield
        self.phases.append((name, began, time.time()))

    def table(self) -> str:
        """One line for each phase."""
        heads = ("s", "requests", "failed", "p99 ms", "tasks failed")
        lines = [f"{'phase':32}" + " {:>5} {:>8} {:>6} {:>7} {:>12}".format(*heads)]
        for name, began, ended in self.phases:
            calls = [call for call in self.calls if began <= call.at < ended]
            slow = sorted(call.seconds for call in calls)
            p99 = 1000 * slow[min(len(slow) - 1, int(len(slow) * 0.99))] if slow else 0
            failed = sum(call.failed for call in calls)
            tasks = sum(began <= at < ended for at, _ in self.failures)
            lines.append(
                f"{name:32} {ended - began:5.1f} {len(calls):8} {failed:6} {p99:7.0f} {tasks:12}"
            )
        return "\n".join(lines)


async def upgraded(fleet: Fleet, old: Code, seen: Upgrade) -> None:
    """Everything is the old version's at first and the new one's in the end."""
    worker, *apis = await asyncio.gather(fleet.worker(old), fleet.api(old), fleet.api(old))
    await fleet.seed()
    psp = SandboxPsp(fleet.sandbox, fleet.secrets.api_key)
    with merchant(fleet.balancer, fleet.token) as billwerk:
        load = Load(billwerk, psp, CALLERS)
        await asyncio.to_thread(load.sign_up)
        with load:
            with seen.phase("old worker, old API"):
                await asyncio.sleep(PHASE_SECONDS)
            with seen.phase("migrated"):
                await asyncio.to_thread(NEW.run, fleet.env, "-m", "integrator.cli", "migrate")
            for code in (NEW, old, NEW):
                worker = await replaced(fleet, worker, code, seen)
            for number, api in enumerate(apis, 1):
                with seen.phase(f"API {number} of {len(apis)} becomes {NEW.name}"):
                    await fleet.api(NEW)
                    seen.drained.append(await fleet.retire(api))
                    await asyncio.sleep(PHASE_SECONDS)
        with seen.phase("at rest"):
            seen.rested = await asyncio.to_thread(load.rested)
    psp.close()


async def replaced(fleet: Fleet, worker: Instance, code: Code, seen: Upgrade) -> Instance:
    """A worker of the other version beside the one that runs, and then in its place."""
    with seen.phase(f"{code.name} worker beside the other"):
        fresh = await fleet.worker(code)
        await asyncio.sleep(PHASE_SECONDS)
    with seen.phase(f"{code.name} worker alone"):
        seen.drained.append(await asyncio.to_thread(worker.stop))
        await asyncio.sleep(PHASE_SECONDS)
    return fresh


@pytest.fixture(scope="module")
async def upgrade(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Upgrade]:
    folder: Path = tmp_path_factory.mktemp("rolling")
    old = previous(folder / "previous")
    seen = Upgrade()
    async with opened(folder, old) as fleet:
        for code in (old, NEW):
            code.require_own(fleet.env)
        await upgraded(fleet, old, seen)
        seen.calls = fleet.balancer.calls
        seen.failures = await fleet.task_failures()
        seen.losses = fleet.logged_losses()
        yield seen


def test_an_upgrade_under_load_is_not_noticed(upgrade: Upgrade) -> None:
    print(f"\n{upgrade.table()}")  # noqa: T201 - shown with `-rP` and when it fails
    assert [call for call in upgrade.calls if call.failed] == []
    assert upgrade.failures == []
    assert upgrade.losses == []
    assert [one for one in upgrade.rested if not one.right] == []


def test_the_load_was_one(upgrade: Upgrade) -> None:
    """Else there was nothing to notice."""
    assert {one.expected.resource for one in upgrade.rested} == {"Preauth", "Payment", "Refund"}
    notified = [call for call in upgrade.calls if "notifications" in call.path]
    assert len(notified) > 10
    for name, began, ended in upgrade.phases:
        assert any(began <= call.at < ended for call in upgrade.calls), name
