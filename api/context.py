"""Resources that one API process shares between its requests."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import httpx

from api import metrics
from api.auth.access_tokens import AccessTokens
from api.auth.rate_limits import FailedAuthLimit, RateLimit
from api.auth.token_usage import TokenUsage
from api.transactions.response_log import ResponseLog
from api.transactions.state_reader import StateReader
from integrator import startup
from integrator.crypto.keys import KeyRing
from integrator.egress import outbound_client
from integrator.key_registry import KeyRegistry
from integrator.observability import tracing
from integrator.settings import Settings
from integrator.store import Store
from integrator.temporal.client import connect, watch_api_key_file
from integrator.transactions.notification_delivery import NotificationDelivery
from integrator.transactions.transaction_client import TransactionClient
from integrator.transactions.workflow_inputs import input_refresher

FIRST_SCHEMA_CHECK = timedelta(seconds=2)
"""The first requests of a process whose database answers should not be rejected."""
PSP_TIMEOUT = httpx.Timeout(8.0, connect=3.0)
READINESS_TIMEOUT = timedelta(seconds=1)

T = TypeVar("T")


class BackgroundTasks:
    """Runs work to completion even if its request is cancelled.

    A start that stops half way would leave a transaction without a workflow.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run_shielded(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for `work`, which continues if the caller is cancelled."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    async def drain(self) -> None:
        """Wait for all tasks that still run."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved, so that asyncio does not log it as unhandled


@dataclass
class SchemaGate:
    """Why no request can be served yet: the database or its schema is missing; None if neither.

    It opens once: a schema never gets older.
    """

    reason: str | None = None

    async def wait(self, store: Store, registry: KeyRegistry) -> None:
        """Open when the schema is there and the key ring is registered."""
        await startup.wait_until_ready(partial(startup.prepare_store, store, registry), self._close)
        self.reason = None

    def _close(self, reason: str) -> None:
        self.reason = reason


@dataclass(frozen=True)
class Context:
    """Resources of a request; `rejected_notifications` counts by PSP.

    `caller_limit` counts by token or client id, `notification_limit` by PSP settings id.
    """

    settings: Settings
    store: Store
    transaction_client: TransactionClient
    state_reader: StateReader = field(repr=False)
    notification_delivery: NotificationDelivery = field(repr=False)
    http: httpx.AsyncClient = field(repr=False)
    temporal_ready: Callable[[], Awaitable[bool]]
    access_tokens: AccessTokens = field(repr=False)
    token_usage: TokenUsage = field(repr=False)
    response_log: ResponseLog = field(repr=False)
    caller_limit: RateLimit = field(repr=False)
    notification_limit: RateLimit = field(repr=False)
    failed_auth_limit: FailedAuthLimit = field(repr=False)
    schema_gate: SchemaGate = field(default_factory=SchemaGate)
    background_tasks: BackgroundTasks = field(default_factory=BackgroundTasks)
    rejected_notifications: Counter[str] = field(default_factory=Counter)


def build_context(
    settings: Settings,
    keys: KeyRing,
    store: Store,
    transaction_client: TransactionClient,
    http: httpx.AsyncClient,
    temporal_ready: Callable[[], Awaitable[bool]],
) -> Context:
    """Build a context from open connections."""
    return Context(
        settings=settings,
        store=store,
        transaction_client=transaction_client,
        state_reader=StateReader(store, transaction_client, settings.query_timeout_seconds),
        notification_delivery=NotificationDelivery(store, transaction_client),
        http=http,
        temporal_ready=temporal_ready,
        access_tokens=AccessTokens(keys, settings.resolved_public_url),
        token_usage=TokenUsage(store),
        response_log=ResponseLog(store),
        caller_limit=RateLimit(settings.rate_limit_per_token),
        notification_limit=RateLimit(settings.rate_limit_per_notification_route),
        failed_auth_limit=FailedAuthLimit(settings.rate_limit_unauthenticated),
    )


@asynccontextmanager
async def open_context(settings: Settings) -> AsyncIterator[Context]:
    """Open the resources of the process; connections are made on first use."""
    keys = KeyRing.from_settings(settings)
    async with (
        Store(settings.resolved_database_url, keys) as store,
        outbound_client(settings, PSP_TIMEOUT) as http,
    ):
        registry = KeyRegistry(store, keys)
        client = await connect(settings, lazy=True, key_ids=registry)

        async def ready() -> bool:
            return await client.service_client.check_health(timeout=READINESS_TIMEOUT)

        tracing.trace_http(http)
        transaction_client = TransactionClient(client, settings.task_queue, input_refresher(store))
        context = build_context(settings, keys, store, transaction_client, http, ready)
        metrics.BREAKER_OPEN.set_function(lambda: context.state_reader.breaker.is_open)
        gate = context.schema_gate
        gate.reason = "The database is not checked yet."
        opening = asyncio.create_task(gate.wait(store, registry))
        await asyncio.wait({opening}, timeout=FIRST_SCHEMA_CHECK.total_seconds())
        if opening.done():
            opening.result()  # an error that waiting does not cure ends the start
        tasks = [
            opening,
            asyncio.create_task(context.token_usage.run()),
            asyncio.create_task(context.response_log.run()),
            asyncio.create_task(watch_api_key_file(client, settings)),
        ]
        try:
            yield context
        finally:
            for task in tasks:
                task.cancel()
            # A task that uses a closed store might never end.
            await asyncio.gather(*tasks, return_exceptions=True)
            await context.background_tasks.drain()
            await context.response_log.write()
            await context.token_usage.write()
