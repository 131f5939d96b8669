"""How a defect is put on show: a sandbox adapter in which one thing is replaced."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import ClassVar, TypeVar, cast

import httpx
from pydantic import BaseModel, SecretStr

from integrator.psp.conformance.harness import Delivery
from integrator.psp.errors import NotificationRejected
from integrator.psp.port import Connection
from integrator.psp.sandbox import SandboxAdapter, notifications
from integrator.psp.sandbox.client import SandboxClient
from integrator.psp.sandbox.connection import SandboxConnection
from integrator.psp.sandbox.settings import SandboxSettings
from integrator.psp.toolkit.http import PspHttp
from integrator.psp.toolkit.signatures import require_timestamped
from integrator.psp.types import NotificationEvent
from tests.conformance.harness_sandbox import SandboxHarness, config_at


class Exhibit(SandboxAdapter):
    """A defective adapter; its docstring says what is wrong with it.

    `lesson` is the row of docs/lessons-learned.md, None for a defect that is not in there;
    `caught_by` the case of the kit that must fail.
    """

    lesson: ClassVar[int | None] = None
    caught_by: ClassVar[str]
    http: ClassVar[type[PspHttp]] = PspHttp
    client: ClassVar[type[SandboxClient]] = SandboxClient
    connection: ClassVar[type[SandboxConnection]] = SandboxConnection
    sound: ClassVar[type[SandboxAdapter]] = SandboxAdapter

    def connect(self, settings: BaseModel, http: httpx.AsyncClient) -> Connection:
        """Like the sound one, with the exhibit's own parts."""
        merchant = cast(SandboxSettings, settings)
        assert self._config is not None
        headers = {"Authorization": f"Bearer {merchant.api_key.get_secret_value()}"}
        way = self.http(http, self._config.base_url, headers)
        return self.connection(self.client(way), merchant.webhook_secret)


EXHIBITS: list[type[Exhibit]] = []
E = TypeVar("E", bound=type[Exhibit])


def shows(caught_by: str, lesson: int | None = None) -> Callable[[E], E]:
    """Put an exhibit into the museum."""

    def hang(exhibit: E) -> E:
        exhibit.caught_by, exhibit.lesson = caught_by, lesson
        EXHIBITS.append(exhibit)
        return exhibit

    return hang


def at(exhibit: type[SandboxAdapter], url: str) -> SandboxAdapter:
    """The adapter, sent to the sandbox PSP at this address."""
    return exhibit(config_at(url))


def digest(*parts: object) -> str:
    """A key made of something."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


class BatchHarness(SandboxHarness):
    """A sandbox PSP that could send several events at once, all under one signature."""

    def batched(self, deliveries: Sequence[Delivery]) -> Delivery | None:
        """`{"events": [...]}`."""
        events = [json.loads(delivery.body) for delivery in deliveries]
        return Delivery(deliveries[0].headers, json.dumps({"events": events}).encode())


class BatchAdapter(SandboxAdapter):
    """Reads single events and batches, and is sound."""

    def parse_notification(
        self, settings: BaseModel, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        """Verify the whole body, then read every event."""
        parts = events_of(body)
        if parts is None:
            return super().parse_notification(settings, headers, body, now)
        secret = cast(SandboxSettings, settings).webhook_secret
        verify(secret, headers, body, now)
        return [notice for part in parts for notice in notifications.read(part)]


class BatchExhibit(BatchAdapter, Exhibit):
    """Base of exhibits about notifications with several events."""

    sound = BatchAdapter


def verify(secrets: SecretStr, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
    """Check the one signature of a whole body. Raises `NotificationRejected`."""
    require_timestamped(secrets, headers, notifications.HEADER, body, now)


def events_of(body: bytes) -> list[bytes] | None:
    """The events of a batch; None for anything else."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or not isinstance(content.get("events"), list):
        return None
    return [json.dumps(event).encode() for event in content["events"]]


def claimed_time(headers: Mapping[str, str]) -> datetime:
    """When the notification says it was signed."""
    text = next((t for n, t in headers.items() if n.lower() == notifications.HEADER), "")
    seconds = text.partition(",")[0].removeprefix("t=")
    if not seconds.isdigit():
        raise NotificationRejected("The notification carries no signature")
    return datetime.fromtimestamp(int(seconds), UTC)
