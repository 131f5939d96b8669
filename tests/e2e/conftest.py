"""The stack of `make run`, once for all tests, and what is played on it in the background."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.scenarios import Background, begin
from tests.e2e.world import CARD, IBAN, IBAN_CHARGED_BACK, IBAN_FAILS, World, around
from tests.support.stack import Stack

FIGURES = pytest.StashKey[list[str]]()
AT_ONCE = 12


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = []


def pytest_sessionfinish(session: pytest.Session) -> None:
    """One of several processes hands its figures to the one that reports."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["figures"] = session.config.stash[FIGURES]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    node.config.stash[FIGURES] += getattr(node, "workeroutput", {}).get("figures", [])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What looks at things that take long, or at what all others have left, comes last."""
    items.sort(key=lambda item: "comes_last" in getattr(item, "fixturenames", ()))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for figure in config.stash[FIGURES]:
        terminalreporter.write_line(figure)


@pytest.fixture
def comes_last() -> None:
    """For tests to be run after all others."""


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> list[str]:
    """Lines for the end of the report: measured, not judged."""
    return pytestconfig.stash[FIGURES]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, figures: list[str]) -> Iterator[Stack]:
    """A running stack; only the PSP's pending results come sooner than in `make run`."""
    env = {
        "SANDBOX_SETTLE_SECONDS": "1",
        # Made-up requests come without tokens, and all from here.
        "INTEGRATOR_RATE_LIMIT_UNAUTHENTICATED": "100000/second",
    }
    stack = Stack(tmp_path_factory.mktemp("stack"), env)
    try:
        figures.append(f"the stack was ready after {stack.start():.1f} s")
        yield stack
    finally:
        stack.stop()


@pytest.fixture(scope="session")
def world(stack: Stack) -> Iterator[World]:
    """The running stack with an agreement for a card and for each of three IBANs."""
    with around(stack) as world:
        world.sign_up(CARD, IBAN, IBAN_FAILS, IBAN_CHARGED_BACK)
        yield world


@pytest.fixture(scope="session")
def background(world: World) -> Iterator[Background]:
    """Everything that can be played side by side."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield begin(world, pool)


@pytest.fixture(scope="session", autouse=True)
def _from_the_start(background: Background) -> None:
    """So that it is over when the tests come to it."""


@pytest.fixture(scope="session")
def data_dir(stack: Stack) -> Path:
    """The data folder of the stack."""
    return stack.data_dir
