"""Fixtures: the shared stack and the scenarios run on it in the background."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e.stack.environment import (
    CARD,
    IBAN,
    IBAN_CHARGED_BACK,
    IBAN_FAILS,
    Environment,
    open_environment,
)
from tests.e2e.stack.scenarios import Background, begin
from tests.support.stack import Stack

CONCURRENCY = 12


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run tests of slow scenarios, or of what all tests have left, last."""
    items.sort(key=lambda item: "run_last" in getattr(item, "fixturenames", ()))


@pytest.fixture
def run_last() -> None:
    """Mark tests to be run after all others."""


@pytest.fixture(scope="session")
def environment(stack: Stack) -> Iterator[Environment]:
    """The running stack, with an agreement for a card and for each of three IBANs."""
    with open_environment(stack) as environment:
        environment.sign_up(CARD, IBAN, IBAN_FAILS, IBAN_CHARGED_BACK)
        yield environment


@pytest.fixture(scope="session")
def background(environment: Environment) -> Iterator[Background]:
    """The scenarios that run concurrently."""
    with ThreadPoolExecutor(CONCURRENCY) as pool:
        yield begin(environment, pool)


@pytest.fixture(scope="session", autouse=True)
def _start_background(background: Background) -> None:
    """Start the scenarios early, so that they have ended when their tests run."""


@pytest.fixture(scope="session")
def data_dir(stack: Stack) -> Path:
    """The data folder of the stack."""
    return stack.data_dir
