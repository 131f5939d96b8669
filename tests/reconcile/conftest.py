"""Real workflows on a real store against the sandbox PSP, whose notifications never arrive."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

import worker
from activities.reconciliation.activities import ReconcileActivities
from activities.reconciliation.spot_check import Sample
from integrator.crypto.keys import KeyRing
from integrator.psp import registry
from integrator.settings import Settings
from integrator.store import Store, TransactionRow
from integrator.store.migrate import upgrade
from integrator.transactions.transaction_client import TransactionClient
from integrator.transactions.workflow_inputs import first_start, input_refresher, read_state
from tests.activities.conftest import Book
from tests.psp.conftest import Merchant, http, merchant, sandbox_url
from tests.support.temporal import temporal_binary
from workflows import search_attributes
from workflows.messages import ReconcileInput

__all__ = ["http", "merchant", "sandbox_url"]


@pytest.fixture(scope="session")
async def temporal() -> AsyncIterator[Client]:
    """A Temporal server whose clock is everybody's."""
    async with await WorkflowEnvironment.start_local(
        data_converter=pydantic_data_converter,
        search_attributes=search_attributes.KEYS,
        dev_server_existing_path=temporal_binary(),
    ) as environment:
        yield environment.client


@dataclass
class Live:
    """One merchant of ours with its account at the PSP; `announced` is what Billwerk+ heard."""

    account: Merchant
    settings: Settings
    client: Client
    store: Store
    gateway: TransactionClient
    book: Book
    steps: ReconcileActivities
    announced: list[dict[str, Any]] = field(default_factory=list)

    @property
    def start(self) -> ReconcileInput:
        return ReconcileInput(merchant_id=self.book.merchant.id)

    async def create(self, row: TransactionRow) -> Any:
        return await self.gateway.create(first_start(row))

    async def redirected(self) -> TransactionRow:
        """A preauth whose customer has just paid at the checkout; nobody told us."""
        row = await self.book.preauth()
        await self.create(row)
        opened = await self.row(row)
        assert opened.private is not None
        await self.account.visit(opened.private["redirect"]["url"])
        return row

    async def row(self, row: TransactionRow) -> TransactionRow:
        found = await self.store.transaction(row.merchant_id, row.transaction_id)
        assert found is not None
        return found

    async def state(self, row: TransactionRow) -> Any:
        now = await self.row(row)
        return read_state(now.kind, now.snapshot)

    def heard(self, row: TransactionRow) -> int:
        """How often Billwerk+ was told to look at it."""
        return sum(one["TransactionId"] == row.transaction_id for one in self.announced)


@pytest.fixture
async def live(
    temporal: Client,
    merchant: Merchant,
    http: httpx.AsyncClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Live]:
    monkeypatch.setattr(registry, "adapter", lambda name: merchant.adapter)
    url = f"sqlite+aiosqlite:///{tmp_path / 'store.db'}"
    await upgrade(url)
    settings = Settings(data_dir=tmp_path, task_queue=f"live-{uuid4().hex}")
    announced: list[dict[str, Any]] = []

    def receive(request: httpx.Request) -> httpx.Response:
        announced.append(json.loads(request.content))
        return httpx.Response(200)

    async with (
        Store(url, KeyRing({"test": bytes(32)})) as store,
        httpx.AsyncClient(transport=httpx.MockTransport(receive)) as webhooks,
        worker.build_worker(temporal, settings, store, http, webhooks),
        worker.build_reconciler(temporal, settings, store, http),
    ):
        ours = await store.add_merchant(f"m{uuid4().hex[:12]}", "sandbox")
        secrets = {
            "ApiKey": merchant.settings.api_key.get_secret_value(),
            "WebhookSecret": merchant.settings.webhook_secret.get_secret_value(),
        }
        await store.save_settings(ours.id, secrets)
        gateway = TransactionClient(temporal, settings.task_queue, input_refresher(store))
        steps = ReconcileActivities(store, http, gateway, lag=timedelta(0))
        steps._sample = Sample(store, gateway, timedelta(0), timedelta(0))
        yield Live(
            merchant,
            settings,
            temporal,
            store,
            gateway,
            Book(store, ours),
            steps,
            announced,
        )


@pytest.fixture
def until() -> Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]:
    """Waits for what an awaitable check finds."""
    from tests.psp.test_sandbox_live import eventually

    return eventually
