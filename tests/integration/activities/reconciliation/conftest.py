"""Fixtures: real workflows and store with the sandbox PSP, whose notifications never arrive."""

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
from activities.reconciliation.spot_check import SpotCheck
from integrator.crypto.keys import KeyRing
from integrator.psp import registry
from integrator.settings import Settings
from integrator.store import Store, TransactionRow
from integrator.store.migrate import upgrade
from integrator.transactions.transaction_client import TransactionClient
from integrator.transactions.workflow_inputs import initial_input, input_refresher, read_state
from tests.integration.activities.conftest import TransactionFactory
from tests.integration.integrator.psp.conftest import Merchant, http, merchant, sandbox_url
from tests.support.temporal import temporal_binary
from workflows import search_attributes
from workflows.messages import ReconcileInput

__all__ = ["http", "merchant", "sandbox_url"]


@pytest.fixture(scope="session")
async def temporal() -> AsyncIterator[Client]:
    """A Temporal server with the real clock."""
    async with await WorkflowEnvironment.start_local(
        data_converter=pydantic_data_converter,
        search_attributes=search_attributes.KEYS,
        dev_server_existing_path=temporal_binary(),
    ) as environment:
        yield environment.client


@dataclass
class ReconcileEnvironment:
    """A merchant with its PSP account; `announced` are the change notifications delivered."""

    account: Merchant
    settings: Settings
    client: Client
    store: Store
    transaction_client: TransactionClient
    factory: TransactionFactory
    activities: ReconcileActivities
    announced: list[dict[str, Any]] = field(default_factory=list)

    @property
    def start(self) -> ReconcileInput:
        return ReconcileInput(merchant_id=self.factory.merchant.id)

    async def create(self, row: TransactionRow) -> Any:
        return await self.transaction_client.create(initial_input(row))

    async def redirected_preauth(self) -> TransactionRow:
        """Create a preauth whose customer has paid at the checkout, without a notification."""
        row = await self.factory.preauth()
        await self.create(row)
        opened = await self.row(row)
        assert opened.private is not None
        await self.account.visit_page(opened.private["redirect"]["url"])
        return row

    async def row(self, row: TransactionRow) -> TransactionRow:
        stored = await self.store.transactions.get(row.merchant_id, row.transaction_id)
        assert stored is not None
        return stored

    async def state(self, row: TransactionRow) -> Any:
        stored = await self.row(row)
        return read_state(stored.kind, stored.snapshot)

    def count_notifications(self, row: TransactionRow) -> int:
        """Count the change notifications of a transaction."""
        return sum(
            notification["TransactionId"] == row.transaction_id for notification in self.announced
        )


@pytest.fixture
async def live(
    temporal: Client,
    merchant: Merchant,
    http: httpx.AsyncClient,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[ReconcileEnvironment]:
    monkeypatch.setattr(registry, "get_adapter", lambda name: merchant.adapter)
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
        worker.build_reconciliation_worker(temporal, settings, store, http),
    ):
        stored_merchant = await store.merchants.add(f"m{uuid4().hex[:12]}", "sandbox")
        secrets = {
            "ApiKey": merchant.settings.api_key.get_secret_value(),
            "WebhookSecret": merchant.settings.webhook_secret.get_secret_value(),
        }
        await store.merchants.save_settings(stored_merchant.id, secrets)
        transaction_client = TransactionClient(
            temporal, settings.task_queue, input_refresher(store)
        )
        steps = ReconcileActivities(store, http, transaction_client, lag=timedelta(0))
        steps._spot_check = SpotCheck(store, transaction_client, timedelta(0), timedelta(0))
        yield ReconcileEnvironment(
            merchant,
            settings,
            temporal,
            store,
            transaction_client,
            TransactionFactory(store, stored_merchant),
            steps,
            announced,
        )


@pytest.fixture
def until() -> Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]:
    """Return a function that waits until an awaitable check returns a value."""
    from tests.integration.integrator.psp.sandbox.test_live import wait_for

    return wait_for
