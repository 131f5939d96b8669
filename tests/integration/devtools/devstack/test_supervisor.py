"""Supervisor and processes, with dummies in place of servers."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from devtools.devstack.data_dir import Layout
from devtools.devstack.errors import DevStackError
from devtools.devstack.process import Command
from devtools.devstack.supervisor import Supervisor
from tests.integration.devtools.devstack.waiting import eventually, is_running
from tests.support.paths import ROOT

MakeDummy = Callable[..., Command]
WaitUntilUp = Callable[..., Awaitable[None]]


ORPHANING = """
import asyncio, os, sys
from pathlib import Path
from devtools.devstack.data_dir import Layout
from devtools.devstack.process import Command
from devtools.devstack.supervisor import Supervisor

async def main():
    layout = Layout(Path(sys.argv[1]))
    layout.create_folders()
    supervisor = Supervisor(layout, report=print, pids_changed=lambda: None)
    supervisor.start(Command("orphan", tuple(sys.argv[2:]), dict(os.environ)))
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_a_killed_process_is_restarted(
    supervisor: Supervisor, dummy: MakeDummy, up: WaitUntilUp, reports: list[str]
) -> None:
    supervisor.start(dummy("api"))
    await up("api")
    first = supervisor.pids()["api"]
    os.kill(first, signal.SIGKILL)
    await up("api", 2)
    assert supervisor.pids()["api"] != first
    assert reports == ["api was terminated by SIGKILL; restarting in 0.2 s"]


async def test_the_restart_delay_grows_with_every_exit(
    supervisor: Supervisor, dummy: MakeDummy, reports: list[str]
) -> None:
    supervisor.start(dummy("api", "dies"))
    await eventually(lambda: len(reports) == 3)
    assert reports == [
        f"api exited with code 1; restarting in {wait} s" for wait in ("0.2", "0.4", "0.8")
    ]


async def test_a_process_that_cannot_start_is_reported_with_its_log(
    supervisor: Supervisor, dummy: MakeDummy, up: WaitUntilUp, reports: list[str]
) -> None:
    supervisor.start(dummy("worker"))
    supervisor.start(dummy("api", "dies"))
    await up("worker")
    supervisor.require_alive()
    await eventually(lambda: len(reports) == 3)
    with pytest.raises(DevStackError, match=r"api does not start(.|\n)*cannot go on"):
        supervisor.require_alive()


async def test_a_missing_program_is_reported_in_the_log(
    supervisor: Supervisor, layout: Layout, reports: list[str]
) -> None:
    supervisor.start(Command("temporal", ("/does/not/exist",), {}))
    await eventually(lambda: reports)
    assert "cannot run /does/not/exist" in layout.log("temporal").read_text()


async def test_the_new_pid_is_available_in_the_callback(
    layout: Layout, dummy: MakeDummy, up: WaitUntilUp
) -> None:
    seen: list[int] = []
    supervisor = Supervisor(
        layout,
        report=lambda _: None,
        pids_changed=lambda: seen.append(supervisor.pids()["api"]),
    )
    supervisor.start(dummy("api"))
    await up("api")
    os.kill(supervisor.pids()["api"], signal.SIGKILL)
    await up("api", 2)
    assert len(set(seen)) == 2
    assert seen[-1] == supervisor.pids()["api"]
    await supervisor.stop(())


async def test_processes_are_stopped_in_order(
    supervisor: Supervisor, dummy: MakeDummy, up: WaitUntilUp, journal: Path, reports: list[str]
) -> None:
    names = ["temporal", "other", "worker", "api"]
    for name in names:
        supervisor.start(dummy(name))
        await up(name)
    pids = supervisor.pids().values()
    await supervisor.stop(["api", "worker", "absent", "temporal"])
    assert lines(journal, "down") == ["api down", "worker down", "temporal down", "other down"]
    assert not any(is_running(pid) for pid in pids)
    assert reports == []


async def test_a_process_that_does_not_stop_is_killed(
    supervisor: Supervisor, dummy: MakeDummy, up: WaitUntilUp, reports: list[str]
) -> None:
    supervisor.start(dummy("worker", "stubborn"))
    await up("worker")
    await supervisor.stop(["worker"], grace=0.3)
    assert not is_running(supervisor.pids()["worker"])
    assert reports == ["worker did not stop within 0.3 s and was killed"]


async def test_an_immediate_stop_ends_a_graceful_one(
    supervisor: Supervisor, dummy: MakeDummy, up: WaitUntilUp
) -> None:
    supervisor.start(dummy("worker", "stubborn"))
    supervisor.start(dummy("api", "stubborn"))
    await up("worker")
    await up("api")
    supervisor.stop_immediately()
    began = time.monotonic()
    await supervisor.stop(["api", "worker"], grace=60)
    assert time.monotonic() - began < 5
    assert not any(is_running(pid) for pid in supervisor.pids().values())


async def test_a_stop_right_after_the_start_stops_the_process(
    supervisor: Supervisor, dummy: MakeDummy
) -> None:
    supervisor.start(dummy("api"))
    await supervisor.stop(["api"])
    assert not any(is_running(pid) for pid in supervisor.pids().values())


async def test_every_process_has_its_own_session(
    supervisor: Supervisor, dummy: MakeDummy, up: WaitUntilUp
) -> None:
    supervisor.start(dummy("api"))
    await up("api")
    pid = supervisor.pids()["api"]
    assert os.getsid(pid) == pid


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux can signal a child when its parent dies"
)
async def test_no_process_outlives_a_killed_supervisor(
    tmp_path: Path, dummy: MakeDummy, journal: Path
) -> None:
    command = dummy("orphan", "stubborn")
    supervising = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", ORPHANING, str(tmp_path / "data"), *command.argv), cwd=ROOT
    )
    await eventually(lambda: lines(journal, "up"))
    (orphan,) = children(supervising.pid)
    supervising.kill()
    await supervising.wait()
    await eventually(lambda: not is_running(orphan))


def lines(journal: Path, event: str) -> list[str]:
    return [line for line in journal.read_text().splitlines() if line.endswith(event)]


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]
