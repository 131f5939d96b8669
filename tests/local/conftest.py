"""Small stand-ins for the processes of a stack."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from devtools.devstack.data_dir import Layout
from devtools.devstack.process import Command
from devtools.devstack.supervisor import Supervisor
from tests.local.waiting import eventually

DUMMY = Path(__file__).with_name("dummy.py")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "data")
    layout.create_folders()
    return layout


@pytest.fixture
def diary(tmp_path: Path) -> Path:
    """Where the dummies write what happens to them."""
    file = tmp_path / "diary"
    file.touch()
    return file


@pytest.fixture
def dummy(diary: Path) -> Callable[..., Command]:
    """A command that says `<name> up`, and `<name> down` when it is stopped."""

    def make(name: str, *manners: str) -> Command:
        argv = (sys.executable, "-I", "-S", str(DUMMY), name, str(diary), *manners)
        return Command(name, argv, dict(os.environ))

    return make


@pytest.fixture
def reports() -> list[str]:
    """What the supervisor said."""
    return []


@pytest.fixture
async def supervisor(layout: Layout, reports: list[str]) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(layout, report=reports.append, pids_changed=lambda: None)
    yield supervisor
    supervisor.stop_immediately()
    await supervisor.stop(())


@pytest.fixture
def up(diary: Path) -> Callable[..., "asyncio.Future[None]"]:
    """Wait until a dummy has said so often that it is up."""

    async def wait(name: str, times: int = 1) -> None:
        await eventually(lambda: diary.read_text().split("\n").count(f"{name} up") >= times)

    return lambda name, times=1: asyncio.ensure_future(wait(name, times))
