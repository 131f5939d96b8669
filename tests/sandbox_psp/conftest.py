"""One sandbox process for all tests that do not kill it; every test gets a merchant of its own."""

from collections.abc import Iterator

import pytest

from tests.sandbox_psp.driver import Sandbox, Shop, running


@pytest.fixture(scope="package")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running(tmp_path_factory.mktemp("sandbox")) as started:
        yield started


@pytest.fixture
def shop(sandbox: Sandbox) -> Shop:
    return Shop(sandbox)
