"""The app on a real store, with a fake PSP and fake workflows."""

import shutil
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from api.app import create_app
from api.context import Context, build_context
from integrator.crypto.keys import KeyRing
from integrator.psp import registry
from integrator.settings import Settings
from integrator.store import Store
from integrator.store.migrate import upgrade
from tests.integration.api.builders import (
    MERCHANT,
    OTHER_MERCHANT,
    OTHER_TOKEN,
    SETTINGS,
    TOKEN,
    Body,
    auth,
    payment,
    preauth,
)
from tests.integration.api.fakes import FakeAdapter, FakeTransactionClient

KEYS = KeyRing({"k": bytes(32)})
TABLES = ("transactions", "agreements", "notifications", "psp_settings")


@pytest.fixture(scope="session")
async def seeded_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Create a database with two merchants, their tokens and settings; copied for every test."""
    file = tmp_path_factory.mktemp("api") / "seeded.db"
    url = f"sqlite+aiosqlite:///{file}"
    await upgrade(url)
    async with Store(url, KEYS) as store:
        for merchant, token in ((MERCHANT, TOKEN), (OTHER_MERCHANT, OTHER_TOKEN)):
            await store.merchants.add(merchant, "fake")
            await store.api_tokens.issue(merchant, "test", token=token)
            await store.merchants.save_settings(merchant, SETTINGS)
    return file


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path,
        profile="development",
        sync_budget_seconds=0.3,
        query_timeout_seconds=0.2,
    )


@pytest.fixture
async def store(settings: Settings, seeded_database: Path) -> AsyncIterator[Store]:
    shutil.copy(seeded_database, settings.data_dir / "integrator.db")
    async with Store(settings.resolved_database_url, KEYS) as store:
        yield store


@pytest.fixture
def adapter(monkeypatch: pytest.MonkeyPatch) -> FakeAdapter:
    fake = FakeAdapter()

    def get_adapter(name: str) -> FakeAdapter:
        if name != fake.name:
            raise registry.UnknownPsp(name)
        return fake

    monkeypatch.setattr(registry, "get_adapter", get_adapter)
    return fake


@pytest.fixture
def transaction_client(store: Store) -> FakeTransactionClient:
    return FakeTransactionClient(store)


@pytest.fixture
async def context(
    settings: Settings,
    store: Store,
    transaction_client: FakeTransactionClient,
    adapter: FakeAdapter,
) -> AsyncIterator[Context]:
    async def ready() -> bool:
        return True

    async with httpx.AsyncClient() as http:
        yield build_context(settings, KEYS, store, transaction_client, http, ready)  # type: ignore[arg-type]


@pytest.fixture
def app(settings: Settings, context: Context) -> FastAPI:
    app = create_app(settings)
    app.state.context = context
    return app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://api", headers=auth()
    ) as client:
        yield client


class Rows:
    """Reads the tables, so that a test can assert that nothing was stored."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def count(self) -> Counter[str]:
        database = sqlite3.connect(self.file)
        try:
            return Counter(
                {
                    table: database.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608
                    for table in TABLES
                }
            )
        finally:
            database.close()

    def content(self, table: str) -> list[tuple[Any, ...]]:
        """Return every row of a table."""
        database = sqlite3.connect(self.file)
        try:
            return database.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()  # noqa: S608
        finally:
            database.close()


@pytest.fixture
def rows(settings: Settings, store: Store) -> Rows:
    return Rows(settings.data_dir / "integrator.db")


class TransactionFactory:
    """Creates transactions through the API."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    async def create_preauth(self, **members: object) -> Body:
        return await self._post("/api/Preauth", preauth(**members))

    async def create_payment(self, **members: object) -> Body:
        return await self._post("/api/Payment", payment(**members))

    async def create_capture(self, **members: object) -> Body:
        """Create a preauth and the payment that captures it."""
        preauth_body = await self.create_preauth()
        return await self.create_payment(
            preauthTransactionId=preauth_body["transactionId"], **members
        )

    async def _post(self, path: str, body: Body) -> Body:
        response = await self._client.post(path, json=body)
        assert response.status_code == 200, response.text
        return body


@pytest.fixture
def factory(client: httpx.AsyncClient) -> TransactionFactory:
    return TransactionFactory(client)


def assert_error(response: httpx.Response, status: int, code: str) -> Body:
    """Assert that the response is a `PaymentError`; return its body."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json; charset=utf-8"
    body: Body = response.json()
    assert body["errorCode"] == code, body
    assert body["status"] == "Failed"
    assert body["receivedAt"].endswith("Z")
    assert set(body) <= {"errorCode", "errorMessage", "pspErrorCode", "receivedAt", "status"}
    return body
