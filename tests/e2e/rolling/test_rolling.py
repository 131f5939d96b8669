"""Test an upgrade under load from the recorded to the current code: no request fails.

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

from tests.e2e.rolling.balancer import Call
from tests.e2e.rolling.deployment import (
    CURRENT,
    CodeVersion,
    Deployment,
    Instance,
    install_previous,
    open_deployment,
)
from tests.e2e.rolling.load import FinalResult, Load, merchant
from tests.e2e.stack.sandbox import SandboxPsp

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1200)]

PHASE_SECONDS = float(os.environ.get("ROLLING_SECONDS", "0.5"))
CALLERS = int(os.environ.get("ROLLING_CALLERS", "2"))


@dataclass
class Upgrade:
    """Results of the upgrade; `phases` are names with start and end on the wall clock."""

    phases: list[tuple[str, float, float]] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    failures: list[tuple[float, str]] = field(default_factory=list)
    replay_failures: list[str] = field(default_factory=list)
    final_results: list[FinalResult] = field(default_factory=list)
    drained: list[float] = field(default_factory=list)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        began = time.time()
        yield
        self.phases.append((name, began, time.time()))

    def table(self) -> str:
        """Render one line per phase."""
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


async def run_upgrade(deployment: Deployment, old: CodeVersion, upgrade: Upgrade) -> None:
    """Upgrade all processes from the old version to the new one."""
    worker, *apis = await asyncio.gather(
        deployment.worker(old), deployment.api(old), deployment.api(old)
    )
    await deployment.seed()
    psp = SandboxPsp(deployment.sandbox, deployment.secrets.api_key)
    with merchant(deployment.balancer, deployment.token) as billwerk:
        load = Load(billwerk, psp, CALLERS)
        await asyncio.to_thread(load.sign_up)
        with load:
            with upgrade.phase("old worker, old API"):
                await asyncio.sleep(PHASE_SECONDS)
            with upgrade.phase("migrated"):
                await asyncio.to_thread(
                    CURRENT.run, deployment.env, "-m", "integrator.cli", "migrate"
                )
            for code in (CURRENT, old, CURRENT):
                worker = await replace_worker(deployment, worker, code, upgrade)
            for number, api in enumerate(apis, 1):
                with upgrade.phase(f"API {number} of {len(apis)} becomes {CURRENT.name}"):
                    await deployment.api(CURRENT)
                    upgrade.drained.append(await deployment.stop_api(api))
                    await asyncio.sleep(PHASE_SECONDS)
        with upgrade.phase("at rest"):
            upgrade.final_results = await asyncio.to_thread(load.final_results)
    psp.close()


async def replace_worker(
    deployment: Deployment, worker: Instance, code: CodeVersion, upgrade: Upgrade
) -> Instance:
    """Start a worker of the other version, then stop the running one."""
    with upgrade.phase(f"{code.name} worker beside the other"):
        new_worker = await deployment.worker(code)
        await asyncio.sleep(PHASE_SECONDS)
    with upgrade.phase(f"{code.name} worker alone"):
        upgrade.drained.append(await asyncio.to_thread(worker.stop))
        await asyncio.sleep(PHASE_SECONDS)
    return new_worker


@pytest.fixture(scope="module")
async def upgrade(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Upgrade]:
    folder: Path = tmp_path_factory.mktemp("rolling")
    old = install_previous(folder / "previous")
    upgrade = Upgrade()
    async with open_deployment(folder, old) as deployment:
        for code in (old, CURRENT):
            code.require_own_modules(deployment.env)
        await run_upgrade(deployment, old, upgrade)
        upgrade.calls = deployment.balancer.calls
        upgrade.failures = await deployment.task_failures()
        upgrade.replay_failures = deployment.replay_failures()
        yield upgrade


def test_an_upgrade_under_load_fails_no_request(upgrade: Upgrade) -> None:
    print(f"\n{upgrade.table()}")  # noqa: T201 - shown with `-rP` and when it fails
    assert [call for call in upgrade.calls if call.failed] == []
    assert upgrade.failures == []
    assert upgrade.replay_failures == []
    assert [result for result in upgrade.final_results if not result.matches] == []


def test_the_load_covers_every_phase(upgrade: Upgrade) -> None:
    """Without load in a phase the other assertions would prove nothing."""
    assert {result.expected.resource for result in upgrade.final_results} == {
        "Preauth",
        "Payment",
        "Refund",
    }
    notified = [call for call in upgrade.calls if "notifications" in call.path]
    assert len(notified) > 10
    for name, began, ended in upgrade.phases:
        assert any(began <= call.at < ended for call in upgrade.calls), name
