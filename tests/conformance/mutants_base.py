"""Base of the mutants: a sandbox adapter in which one part is replaced."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar, TypeVar, cast

import httpx
from pydantic import BaseModel, SecretStr

from integrator.psp.conformance.harness import Delivery
from integrator.psp.errors import NotificationRejected, OutcomeUnknown, PspError
from integrator.psp.port import Connection, RateBudget
from integrator.psp.sandbox import SandboxAdapter, notifications
from integrator.psp.sandbox.client import SandboxClient
from integrator.psp.sandbox.connection import SandboxConnection
from integrator.psp.sandbox.settings import SandboxSettings
from integrator.psp.sandbox.wire import Charge
from integrator.psp.toolkit.client import RefusedError
from integrator.psp.toolkit.http import PspHttp, PspResponse
from integrator.psp.toolkit.notifications import keep_raw, unreadable_event
from integrator.psp.toolkit.signatures import require_timestamped_signature
from integrator.psp.types import Absent, Lookup, LookupAnswer, NotificationEvent
from tests.conformance.harness_sandbox import SandboxHarness, sandbox_config


class AssembledAdapter(SandboxAdapter):
    """An adapter of the sandbox PSP with parts of its own."""

    http: ClassVar[type[PspHttp]] = PspHttp
    client: ClassVar[type[SandboxClient]] = SandboxClient
    connection: ClassVar[type[SandboxConnection]] = SandboxConnection

    def connect(
        self, settings: BaseModel, http: httpx.AsyncClient, *, budget: RateBudget | None = None
    ) -> Connection:
        """Connect like the sandbox adapter, with the adapter's own parts."""
        merchant = cast(SandboxSettings, settings)
        assert self._config is not None
        headers = {"Authorization": f"Bearer {merchant.api_key.get_secret_value()}"}
        psp_http = self.http(http, self._config.base_url, headers, budget=budget)
        return self.connection(self.client(psp_http), merchant.webhook_secret)


class Mutant(AssembledAdapter):
    """A defective adapter; its docstring describes the defect.

    `lesson` is the row of docs/lessons-learned.md, None for a defect that is not listed there;
    `caught_by` is the case of the kit that must fail.
    """

    lesson: ClassVar[int | None] = None
    caught_by: ClassVar[str]
    baseline: ClassVar[type[SandboxAdapter]] = SandboxAdapter


MUTANTS: list[type[Mutant]] = []
E = TypeVar("E", bound=type[Mutant])
W = TypeVar("W", bound=BaseModel)


def register_mutant(caught_by: str, lesson: int | None = None) -> Callable[[E], E]:
    """Register a mutant and the case that must catch it."""

    def register(mutant: E) -> E:
        mutant.caught_by, mutant.lesson = caught_by, lesson
        MUTANTS.append(mutant)
        return mutant

    return register


def adapter_at(mutant: type[SandboxAdapter], url: str) -> SandboxAdapter:
    """Return the adapter for the sandbox PSP at this address."""
    return mutant(sandbox_config(url))


def digest(*parts: object) -> str:
    """Return a key derived from the parts."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


class ParentConnection(SandboxConnection):
    """A correct connection that looks refunds up at their payment."""

    async def fetch_refund(self, lookup: Lookup) -> LookupAnswer:
        """Return the refund, or its absence, proven if the PSP knows the payment."""
        refund = await super().fetch_refund(lookup)
        if refund is not None or lookup.parent_psp_id is None:
            return refund
        payment = await self._client.get(Charge, "charges", lookup.parent_psp_id)
        return Absent(proven=payment is not None)


class ParentAdapter(AssembledAdapter):
    """A correct adapter whose answers about absent refunds depend on the payment."""

    connection = ParentConnection


class StoredFailure(OutcomeUnknown):
    """A failure that the PSP has stored under the key."""


class ChainClient(SandboxClient):
    """A client that creates pages and mandates with the next key where a failure is stored."""

    def next_key(self, key: str, number: int) -> str:
        """Return the key after `number` stored failures."""
        return f"{key}/{number + 1}"

    async def post(self, model: type[W], *path: str, body: Mapping[str, Any], key: str) -> W:
        """Send a POST; a step that moves money keeps its key."""
        attempt_key = key
        for number in range(1, 4):
            try:
                return await super().post(model, *path, body=body, key=attempt_key)
            except StoredFailure:
                if path not in (("checkout_sessions",), ("mandates",)):
                    raise
                attempt_key = self.next_key(key, number)
        raise OutcomeUnknown("Every key has a stored failure")

    def classify_error(self, response: PspResponse) -> PspError | RefusedError:
        """Return the exception for a response other than 2xx."""
        if response.headers.get("Idempotent-Replayed") == "true" and response.status >= 500:
            return StoredFailure("The PSP repeats its failure")
        return super().classify_error(response)


class ChainAdapter(AssembledAdapter):
    """A correct adapter of a PSP that stores failures under keys."""

    client = ChainClient


class BatchHarness(SandboxHarness):
    """A sandbox PSP that could send several events at once, under one signature."""

    def batch_deliveries(self, deliveries: Sequence[Delivery]) -> Delivery | None:
        """Return `{"events": [...]}`."""
        events = [json.loads(delivery.body) for delivery in deliveries]
        return Delivery(deliveries[0].headers, json.dumps({"events": events}).encode())


class BatchAdapter(SandboxAdapter):
    """A correct adapter that reads single events and batches."""

    def parse_notification(
        self, settings: BaseModel, headers: Mapping[str, str], body: bytes, now: datetime
    ) -> Sequence[NotificationEvent]:
        """Verify the whole body, then parse every event."""
        events = events_of(body)
        if events is None:
            return super().parse_notification(settings, headers, body, now)
        secret = cast(SandboxSettings, settings).webhook_secret
        verify(secret, headers, body, now)
        return [parsed for event in events for parsed in self.read_entry(event)]

    def read_entry(self, raw: bytes) -> Sequence[NotificationEvent]:
        """Read one entry of a batch, or return it as unreadable."""
        try:
            return keep_raw(notifications.read_event(raw), raw)
        except NotificationRejected:
            return [unreadable_event(raw)]


class BatchMutant(BatchAdapter, Mutant):
    """Base of mutants that concern notifications with several events."""

    baseline = BatchAdapter


def verify(secrets: SecretStr, headers: Mapping[str, str], body: bytes, now: datetime) -> None:
    """Verify the one signature of a whole body. Raises `NotificationRejected`."""
    require_timestamped_signature(secrets, headers, notifications.HEADER, body, now)


def events_of(body: bytes) -> list[bytes] | None:
    """Return the events of a batch; None for anything else."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or not isinstance(content.get("events"), list):
        return None
    return [json.dumps(event).encode() for event in content["events"]]


def claimed_time(headers: Mapping[str, str]) -> datetime:
    """Return when the notification claims to have been signed."""
    text = next((t for n, t in headers.items() if n.lower() == notifications.HEADER), "")
    seconds = text.partition(",")[0].removeprefix("t=")
    if not seconds.isdigit():
        raise NotificationRejected("The notification carries no signature")
    return datetime.fromtimestamp(int(seconds), UTC)
