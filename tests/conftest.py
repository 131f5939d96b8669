"""How the tests are shared out among processes: `make test` runs several at once.

A file's tests stay together, in their order. What plays on the shared stack stays with it, so that
there is one. What takes longest begins first.
"""

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
STACK = "shared stack"
FIRST = (
    "campaign/test_small.py",
    STACK,
    "kit/test_sandbox_kit.py",
    "e2e/test_kill_loop.py",
    "kit/test_museum.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    items.sort(key=_turn)


def _group(item: pytest.Item) -> str:
    path = item.path.relative_to(TESTS).as_posix() if item.path.is_relative_to(TESTS) else ""
    return STACK if "background" in getattr(item, "fixturenames", ()) else path


def _turn(item: pytest.Item) -> int:
    group = _group(item)
    return FIRST.index(group) if group in FIRST else len(FIRST)
