"""Fixtures: dummy processes in place of a stack's servers."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from devtools.devstack.data_dir import Layout
from devtools.devstack.process import Command
from devtools.devstack.supervisor import Supervisor
from tests.integration.devtools.devstack.waiting import eventually

DUMMY = Path(__file__).with_name("dummy.py")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "data")
    layout.create_folders()
    return layout


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Return the file in which dummies record their events."""
    file = tmp_path / "journal"
    file.touch()
    return file


@pytest.fixture
def dummy(journal: Path) -> Callable[..., Command]:
    """Return a factory of commands that record `<name> up`, and `<name> down` when stopped."""

    def make(name: str, *modes: str) -> Command:
        argv = (sys.executable, "-I", "-S", str(DUMMY), name, str(journal), *modes)
        return Command(name, argv, dict(os.environ))

    return make


@pytest.fixture
def reports() -> list[str]:
    """Return the list of the supervisor's messages."""
    return []


@pytest.fixture
async def supervisor(layout: Layout, reports: list[str]) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(layout, report=reports.append, pids_changed=lambda: None)
    yield supervisor
    supervisor.stop_immediately()
    await supervisor.stop(())


@pytest.fixture
def up(journal: Path) -> Callable[..., "asyncio.Future[None]"]:
    """Return a function that waits until a dummy has started a number of times."""

    async def wait(name: str, times: int = 1) -> None:
        await eventually(lambda: journal.read_text().split("\n").count(f"{name} up") >= times)

    return lambda name, times=1: asyncio.ensure_future(wait(name, times))
