"""What a check works with: an adapter connected over a wire of its own, watched at every call."""

from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
from pydantic import BaseModel, SecretStr

from integrator.contract.enums import PublicPaymentProviderRole as Role
from integrator.psp.conformance.checked_connection import Watched
from integrator.psp.conformance.fault_transport import Wire
from integrator.psp.conformance.harness import Harness
from integrator.psp.integration_info import parse_settings
from integrator.psp.port import Adapter
from integrator.psp.toolkit.secrets import split
from integrator.psp.types import Capabilities, Instrument, MethodCapability

T = TypeVar("T")


@dataclass
class KitRun:
    """One run of the kit: a bench, the adapter under test and what its checks share.

    `adapter` is the bench's, unless a defective one takes its place. `instruments` are payment
    methods that are known beforehand. `shared` keeps what takes
    time to prepare and is not used up by a check, under names of the checks' own.
    """

    bench: Harness
    adapter: Adapter
    transport: httpx.AsyncBaseTransport
    instruments: Mapping[Role, Instrument] = field(default_factory=dict)
    shared: dict[Hashable, Any] = field(default_factory=dict)

    @asynccontextmanager
    async def world(self) -> AsyncIterator["CheckContext"]:
        """A world for one check."""
        wire = Wire(self.transport)
        # Follows redirects unless a request says otherwise: that is for the adapter to say.
        async with httpx.AsyncClient(transport=wire, timeout=20, follow_redirects=True) as http:
            yield CheckContext(self, wire, http)

    async def once(self, name: Hashable, make: Callable[[], Awaitable[T]]) -> T:
        """What `make` made when this was first asked for by that name."""
        if name not in self.shared:
            self.shared[name] = await make()
        made: T = self.shared[name]
        return made


class CheckContext:
    """An adapter at work for the bench's account."""

    def __init__(self, rig: KitRun, wire: Wire, http: httpx.AsyncClient) -> None:
        self.rig = rig
        self.bench = rig.bench
        self.adapter = rig.adapter
        self.wire = wire
        self.http = http
        self.settings = self.settings_of(self.bench.form)
        self.secrets = secrets_of(self.settings)
        self.connection = self.connect(self.bench.form)

    @property
    def sheet(self) -> Capabilities:
        """What the adapter declares."""
        return self.adapter.capabilities

    def method(self, role: Role) -> MethodCapability:
        """What it declares for a role."""
        return self.sheet.methods[role]

    def restart(self) -> None:
        """Go on with a new connection, as another worker would: nothing is remembered in it."""
        self.connection = self.connect(self.bench.form)

    def settings_of(self, form: Mapping[str, str]) -> BaseModel:
        """The adapter's settings of a form."""
        return parse_settings(self.adapter, form)

    def connect(self, form: Mapping[str, str]) -> Watched:
        """A connection with the values of a settings form."""
        settings = self.settings_of(form)
        secrets = secrets_of(settings)
        return Watched(self.adapter.connect(settings, self.http), secrets)


def secrets_of(settings: BaseModel) -> frozenset[str]:
    """Every secret in the settings, one by one."""
    values = (getattr(settings, name) for name in type(settings).model_fields)
    return frozenset(_parts(value for value in values if isinstance(value, SecretStr)))


def _parts(secrets: Iterable[SecretStr]) -> Iterable[str]:
    for secret in secrets:
        yield secret.get_secret_value()
        yield from split(secret)
