"""How the tests are shared out among processes: `make test` runs several at once.

A file's tests stay together, in their order, and all that play on the shared stack stay with it, so
that there is one. What takes longest begins first.
"""

from typing import Any

import pytest

STACK = "tests/e2e"
ALONE = (
    "tests/e2e/test_kill_loop.py",
    "tests/e2e/test_localstripe.py",
    "tests/e2e/test_operators.py",
)
"""They have a stack of their own, or none."""
FIRST = (
    "tests/campaign/test_small.py",
    STACK,
    "tests/kit/test_sandbox_kit.py",
    "tests/e2e/test_kill_loop.py",
    "tests/kit/test_museum.py",
)


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
    return STACK if path.startswith(f"{STACK}/") and path not in ALONE else path


def _turn(item: pytest.Item) -> int:
    group = _group(item.nodeid)
    return FIRST.index(group) if group in FIRST else len(FIRST)
