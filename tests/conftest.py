"""Shared stack of the tests, and distribution of the tests over processes.

`make test` runs several processes. The tests of a file run in one process in order, and all tests
that use the shared stack run in the same process, so that there is one. The slowest start first.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.stack import Stack

TOOLING = "tests/tooling"
SHARED_STACK = "tests/e2e/stack"
SHARED_STACK_FILES = ("tests/tooling/docs/test_commands.py",)
"""Other files that use the shared stack."""
OWN_STACK_FILES = (
    "tests/e2e/stack/test_healing.py",
    "tests/e2e/stack/test_kill_loop.py",
    "tests/e2e/stack/test_localstripe.py",
    "tests/e2e/stack/test_operators.py",
)
"""Files that start their own stack, or none."""
OBSERVABILITY = "tests/e2e/observability"
FIRST_GROUPS = (
    "tests/tooling/campaign/test_small.py",
    SHARED_STACK,
    OBSERVABILITY,
    "tests/e2e/operations/test_credentials.py",
    "tests/e2e/operations/test_operations.py",
    "tests/conformance/test_sandbox_kit.py",
    "tests/e2e/temporal_versions/test_servers.py",
    "tests/e2e/stack/test_kill_loop.py",
    "tests/conformance/test_stripe_mock.py",
    "tests/conformance/test_mutants.py",
)

FIGURES = pytest.StashKey[list[str]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.nodeid.startswith(f"{TOOLING}/"):
            item.add_marker("tooling")
    items.sort(key=_sort_key)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Return the scheduler of pytest-xdist; `log` is its logger."""
    from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

    class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            return _group(nodeid)

    return GroupScheduling(config, log)


def _group(nodeid: str) -> str:
    path = nodeid.partition("::")[0]
    if path.startswith(f"{OBSERVABILITY}/"):
        return OBSERVABILITY
    shared = path.startswith(f"{SHARED_STACK}/") or path in SHARED_STACK_FILES
    return SHARED_STACK if shared and path not in OWN_STACK_FILES else path


def _sort_key(item: pytest.Item) -> int:
    group = _group(item.nodeid)
    return FIRST_GROUPS.index(group) if group in FIRST_GROUPS else len(FIRST_GROUPS)


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = []


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send the figures of a worker process to the reporting process."""
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
    """Return the list of measured figures to print at the end of the report."""
    return pytestconfig.stash[FIGURES]


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory, figures: list[str]) -> Iterator[Stack]:
    """Yield a running stack; the PSP settles pending results faster than in `make run`."""
    env = {
        "SANDBOX_SETTLE_SECONDS": "1",
        # Generated requests come without tokens, and all from one address.
        "INTEGRATOR_RATE_LIMIT_UNAUTHENTICATED": "100000/second",
    }
    stack = Stack(tmp_path_factory.mktemp("stack"), env)
    try:
        figures.append(f"the stack was ready after {stack.start():.1f} s")
        yield stack
    finally:
        stack.stop()
