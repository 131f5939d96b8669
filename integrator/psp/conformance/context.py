"""The state a check works with: a checked connection behind a transport that can inject faults."""

from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, SecretStr

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.conformance.checked_connection import CheckedConnection
from integrator.psp.conformance.fault_transport import FaultTransport
from integrator.psp.conformance.harness import Harness
from integrator.psp.connecting import open_connection
from integrator.psp.integration_info import parse_settings
from integrator.psp.port import Adapter, RateBudget
from integrator.psp.toolkit.secrets import split_secrets
from integrator.psp.types import Capabilities, Instrument, MethodCapability

T = TypeVar("T")


@dataclass
class KitRun:
    """One run of the kit: a harness, the adapter under test and what its checks share.

    `adapter` is the harness's, unless a defective one replaces it. `instruments` are payment
    methods that are known beforehand. `shared` caches what takes time to prepare and is not used up
    by a check.
    """

    harness: Harness
    adapter: Adapter
    transport: httpx.AsyncBaseTransport
    instruments: Mapping[Role, Instrument] = field(default_factory=dict)
    shared: dict[Hashable, Any] = field(default_factory=dict)

    @asynccontextmanager
    async def context(self) -> AsyncIterator["CheckContext"]:
        """Open the context of one check."""
        transport = FaultTransport(self.transport)
        # The client follows redirects by default, so that the adapter has to forbid them.
        async with httpx.AsyncClient(
            transport=transport, timeout=20, follow_redirects=True
        ) as http:
            yield CheckContext(self, transport, http)

    async def get_or_create(self, name: Hashable, create: Callable[[], Awaitable[T]]) -> T:
        """Return the shared value of that name; create it on first use."""
        if name not in self.shared:
            self.shared[name] = await create()
        value: T = self.shared[name]
        return value


class CheckContext:
    """An adapter connected to the harness's account."""

    def __init__(self, kit_run: KitRun, transport: FaultTransport, http: httpx.AsyncClient) -> None:
        self.kit_run = kit_run
        self.harness = kit_run.harness
        self.adapter = kit_run.adapter
        self.transport = transport
        self.http = http
        self.settings = self.settings_from(self.harness.form)
        self.secrets = secret_values(self.settings)
        self.connection = self.connect(self.harness.form)

    @property
    def capabilities(self) -> Capabilities:
        """Return the adapter's declared capabilities."""
        return self.adapter.capabilities

    def method_capability(self, role: Role) -> MethodCapability:
        """Return the declared capability of a role."""
        return self.capabilities.methods[role]

    def reconnect(self) -> None:
        """Replace the connection with a new one, as another worker would: it remembers nothing."""
        self.connection = self.connect(self.harness.form)

    def settings_from(self, form: Mapping[str, str]) -> BaseModel:
        """Parse a settings form with the adapter's model."""
        return parse_settings(self.adapter, form)

    def connect(
        self, form: Mapping[str, str], budget: RateBudget | None = None
    ) -> CheckedConnection:
        """Open a connection with the values of a settings form."""
        settings = self.settings_from(form)
        secrets = secret_values(settings)
        connection = open_connection(self.adapter, settings, self.http, budget=budget)
        return CheckedConnection(connection, secrets)


def secret_values(settings: BaseModel) -> frozenset[str]:
    """Return every secret in the settings; a list of secrets also one by one."""
    values = (getattr(settings, name) for name in type(settings).model_fields)
    return frozenset(_split_secrets(value for value in values if isinstance(value, SecretStr)))


def _split_secrets(secrets: Iterable[SecretStr]) -> Iterable[str]:
    for secret in secrets:
        yield secret.get_secret_value()
        yield from split_secrets(secret)
