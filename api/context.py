"""What one API process shares between its requests."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import httpx

from api import metrics
from api.auth.access_tokens import AccessTokens
from api.auth.rate_limits import FailedAuthLimit, Rate
from api.auth.token_usage import TokenUsage
from api.circuit_breaker import Breaker
from api.transactions.response_log import ResponseLog
from integrator.crypto.keys import KeyRing
from integrator.egress import outbound_client
from integrator.observability import tracing
from integrator.settings import Settings
from integrator.store import Store
from integrator.temporal.client import connect, follow_api_key
from integrator.transactions.transaction_client import TransactionClient
from integrator.transactions.workflow_inputs import input_refresher

PSP_TIMEOUT = httpx.Timeout(8.0, connect=3.0)
READY_WITHIN = timedelta(seconds=1)

T = TypeVar("T")


class Background:
    """Runs work to its end even if the request that wants it is cancelled.

    A start that stops half way would leave a transaction that nobody follows.
    """

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run_shielded(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for `work`; it goes on if the waiting is cancelled."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    async def drain(self) -> None:
        """Wait for whatever still runs."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, so that nobody complains that it never was


@dataclass(frozen=True)
class Context:
    """Everything a request may need; `rejected` counts refused notifications per PSP.

    The rates are those of callers, by token or client id, and of notifications, by PSP settings
    id.
    """

    settings: Settings
    store: Store
    gateway: TransactionClient
    http: httpx.AsyncClient = field(repr=False)
    temporal_ready: Callable[[], Awaitable[bool]]
    access_tokens: AccessTokens = field(repr=False)
    uses: TokenUsage = field(repr=False)
    response_log: ResponseLog = field(repr=False)
    callers: Rate = field(repr=False)
    notifications: Rate = field(repr=False)
    guests: FailedAuthLimit = field(repr=False)
    breaker: Breaker = field(default_factory=Breaker)
    background: Background = field(default_factory=Background)
    rejected: Counter[str] = field(default_factory=Counter)


def build_context(
    settings: Settings,
    keys: KeyRing,
    store: Store,
    gateway: TransactionClient,
    http: httpx.AsyncClient,
    temporal_ready: Callable[[], Awaitable[bool]],
) -> Context:
    """A context of parts that are open already."""
    return Context(
        settings,
        store,
        gateway,
        http,
        temporal_ready,
        AccessTokens(keys, settings.resolved_public_url),
        TokenUsage(store),
        ResponseLog(store),
        Rate(settings.rate_limit_per_token),
        Rate(settings.rate_limit_per_notification_route),
        FailedAuthLimit(settings.rate_limit_unauthenticated),
    )


@asynccontextmanager
async def open_context(settings: Settings) -> AsyncIterator[Context]:
    """Open what lives as long as the process; nothing is connected before it is used."""
    keys = KeyRing.from_settings(settings)
    client = await connect(settings, lazy=True)

    async def ready() -> bool:
        return await client.service_client.check_health(timeout=READY_WITHIN)

    async with (
        Store(settings.resolved_database_url, keys) as store,
        outbound_client(settings, PSP_TIMEOUT) as http,
    ):
        tracing.trace_http(http)
        gateway = TransactionClient(client, settings.task_queue, input_refresher(store))
        context = build_context(settings, keys, store, gateway, http, ready)
        metrics.BREAKER_OPEN.set_function(lambda: context.breaker.tripped)
        tasks = [
            asyncio.create_task(context.uses.run()),
            asyncio.create_task(context.response_log.run()),
            asyncio.create_task(follow_api_key(client, settings)),
        ]
        try:
            yield context
        finally:
            for task in tasks:
                task.cancel()
            await context.background.drain()
            await context.response_log.write()
            await context.uses.write()
