"""One sandbox process for all tests that do not kill it; every test gets its own merchant."""

from collections.abc import Iterator

import pytest

from tests.integration.devtools.sandbox_psp.driver import MerchantClient, Sandbox, running_sandbox


@pytest.fixture(scope="package")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running_sandbox(tmp_path_factory.mktemp("sandbox")) as running:
        yield running


@pytest.fixture
def merchant(sandbox: Sandbox) -> MerchantClient:
    return MerchantClient(sandbox)
