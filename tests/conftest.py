"""The stack that tests share, and how tests are shared out among processes.

`make test` runs several processes at once. A file's tests stay together, in their order, and all
that play on the shared stack stay with it, so that there is one. What takes longest begins first.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.stack import Stack

STACK = "tests/e2e"
WITH_IT = ("tests/docs/test_commands.py",)
"""They play on the shared stack, too."""
ALONE = (
    "tests/e2e/test_kill_loop.py",
    "tests/e2e/test_localstripe.py",
    "tests/e2e/test_operators.py",
)
"""They have a stack of their own, or none."""
WATCHED = "tests/observability"
FIRST = (
    "tests/campaign/test_small.py",
    STACK,
    WATCHED,
    "tests/conformance/test_sandbox_kit.py",
    "tests/e2e/test_kill_loop.py",
    "tests/conformance/test_mutants.py",
)

FIGURES = pytest.StashKey[list[str]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=_turn)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Called where pytest-xdist runs the tests; `log` is its own."""
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

    class Together(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    return Together(config, log)


def _group(nodeid: str) -> str:
    path = nodeid.partition("::")[0]
    if path.startswith(f"{WATCHED}/"):
        return WATCHED
    shared = path.startswith(f"{STACK}/") or path in WITH_IT
    return STACK if shared and path not in ALONE else path


def _turn(item: pytest.Item) -> int:
    group = _group(item.nodeid)
    return FIRST.index(group) if group in FIRST else len(FIRST)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = []


def pytest_sessionfinish(session: pytest.Session) -> None:
    """One of several processes hands its figures to the one that reports."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["figures"] = session.config.stash[FIGURES]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    node.config.stash[FIGURES] += getattr(node, "workeroutput", {}).get("figures", [])


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    for figure in config.stash[FIGURES]:
        terminalreporter.write_line(figure)


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
