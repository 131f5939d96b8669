"""What is played in the background on the stack that all tests share."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.platform import CARD, IBAN, IBAN_CHARGED_BACK, IBAN_FAILS, World, around
from tests.e2e.scenarios import Background, begin
from tests.support.stack import Stack

AT_ONCE = 12


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What looks at things that take long, or at what all others have left, comes last."""
    items.sort(key=lambda item: "comes_last" in getattr(item, "fixturenames", ()))


@pytest.fixture
def comes_last() -> None:
    """For tests to be run after all others."""


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
