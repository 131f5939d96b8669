"""Fixtures: each supported Temporal server, and a stack of this code on it."""

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from devtools.devstack import temporal
from integrator.settings import Settings
from tests.e2e.stack.environment import CARD, IBAN, Environment, open_environment
from tests.support.stack import Stack, running_stack
from tests.support.temporal import oldest_temporal_binary, temporal_binary
from tests.support.worker_versions import FAST_DRAINAGE

BINARIES: dict[str, Callable[[], str]] = {
    "oldest": oldest_temporal_binary,
    "newest": temporal_binary,
}
"""By role in the table of docs/temporal-upgrades.md."""


@dataclass(frozen=True)
class Server:
    """A running development server of one supported version."""

    role: str
    client: Client

    @property
    def address(self) -> str:
        """Return host and port."""
        return self.client.service_client.config.target_host


@pytest.fixture(scope="module", params=BINARIES)
async def server(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    """Start a server without search attributes: they are registered as in production."""
    role = str(request.param)
    async with await WorkflowEnvironment.start_local(
        data_converter=pydantic_data_converter,
        dev_server_existing_path=BINARIES[role](),
        dev_server_extra_args=[
            part
            for key, value in FAST_DRAINAGE.items()
            for part in ("--dynamic-config-value", f'{key}="{value}"')
        ],
    ) as environment:
        server = Server(role, environment.client)
        # A development server keeps closed workflows for a day, which `doctor` rejects.
        await temporal.connect_when_ready(
            Settings(temporal_address=server.address), set_retention=True
        )
        yield server


@pytest.fixture(scope="module")
def client(server: Server) -> Client:
    return server.client


@pytest.fixture(scope="module")
def stack(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Start a stack on that server, whose start registers the search attributes."""
    env = {"SANDBOX_SETTLE_SECONDS": "1", "INTEGRATOR_TEMPORAL_ADDRESS": server.address}
    with running_stack(tmp_path_factory.mktemp(f"temporal-{server.role}"), env) as stack:
        yield stack


@pytest.fixture(scope="module")
def environment(stack: Stack) -> Iterator[Environment]:
    with open_environment(stack) as environment:
        environment.sign_up(CARD, IBAN)
        yield environment
