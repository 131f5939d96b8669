"""Every outage of the database is reported as `StoreUnavailable`, for every error of the driver."""

import asyncio

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from integrator.crypto.keys import KeyRing
from integrator.store import ConstraintViolated, Merchant, Store, StoreUnavailable
from integrator.store.engine import open_engine
from tests.integration.integrator.store.builders import new_transaction, record_update


async def test_a_database_with_schema_is_available(store: Store) -> None:
    await store.ping()


async def test_a_database_without_schema_is_unavailable(empty_url: str, cipher: KeyRing) -> None:
    async with Store(empty_url, cipher) as store:
        with pytest.raises(StoreUnavailable):
            await store.ping()


@pytest.mark.parametrize(
    "url",
    [
        "sqlite+aiosqlite:////nowhere/at/all/store.db",
        "postgresql+asyncpg://user@127.0.0.1:1/nothing",
        "postgresql+asyncpg:///nothing?host=/nowhere/at/all",
        "postgresql+asyncpg://user@does-not-exist.invalid/nothing",
    ],
)
async def test_no_database_is_unavailable(url: str, cipher: KeyRing) -> None:
    async with Store(url, cipher) as store:
        with pytest.raises(StoreUnavailable):
            await store.ping()
        with pytest.raises(StoreUnavailable):
            await store.merchants.add("demo", "sandbox")


async def test_the_message_shows_no_parameter(empty_url: str, cipher: KeyRing) -> None:
    async with Store(empty_url, cipher) as store:
        with pytest.raises(StoreUnavailable) as caught:
            await store.merchants.get("secret-name")
    assert "secret-name" not in str(caught.value)


async def test_a_lock_held_for_too_long_is_unavailable(
    sqlite_empty: str, cipher: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("integrator.store.engine.BUSY_TIMEOUT_MS", 20)
    engine = open_engine(sqlite_empty)
    async with Store(sqlite_empty, cipher) as store, engine.execution_options(writes=True).begin():
        with pytest.raises(StoreUnavailable, match="locked"):
            await store.merchants.add("demo", "sandbox")
    await engine.dispose()


async def test_cancelled_callers_leave_nothing_locked(store: Store, merchant: Merchant) -> None:
    for moment in range(8):
        tasks = [
            asyncio.create_task(store.transactions.add(new_transaction(merchant, f"{moment}-{n}")))
            for n in range(4)
        ]
        await asyncio.sleep(moment / 1000)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    _, created = await store.transactions.add(new_transaction(merchant))
    assert created


async def test_a_cancelled_caller_does_not_stop_its_write(sqlite_url: str, cipher: KeyRing) -> None:
    engine = open_engine(sqlite_url)
    async with Store(sqlite_url, cipher) as store, engine.execution_options(writes=True).begin():
        write = asyncio.create_task(store.merchants.add("demo", "sandbox"))
        await asyncio.sleep(0.05)
        write.cancel()
        with pytest.raises(asyncio.CancelledError):
            await write
    await engine.dispose()
    async with Store(sqlite_url, cipher) as store:
        assert await store.merchants.get("demo") is not None


async def test_readers_do_not_wait_for_a_writer(url: str, store: Store, merchant: Merchant) -> None:
    engine = open_engine(url)
    async with engine.execution_options(writes=True).begin() as connection:
        await connection.execute(text("UPDATE merchants SET psp = 'changed'"))
        assert await store.merchants.get("demo") == merchant
    await engine.dispose()


@pytest.mark.parametrize("trusted", [0.0, 60.0], ids=["pinged", "noticed by the driver"])
async def test_connections_cut_by_the_server_are_replaced(
    postgres: str,
    postgres_url: str,
    cipher: KeyRing,
    monkeypatch: pytest.MonkeyPatch,
    trusted: float,
) -> None:
    monkeypatch.setattr("integrator.store.engine._LIVENESS_CHECK_AFTER_S", trusted)
    cut = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = :name"
    async with Store(postgres_url, cipher) as store:
        await store.ping()
        engine = create_async_engine(postgres)
        async with engine.connect() as connection:
            await connection.execute(text(cut), {"name": make_url(postgres_url).database})
        await engine.dispose()
        await store.ping()


@pytest.mark.parametrize("overrides", [{"transaction_id": "nul\0"}, {"role": "x" * 33}])
async def test_text_postgresql_cannot_hold_is_no_outage(
    postgres_url: str, cipher: KeyRing, overrides: dict[str, str]
) -> None:
    async with Store(postgres_url, cipher) as store:
        merchant = await store.merchants.add("demo", "sandbox")
        with pytest.raises(ConstraintViolated):
            await store.transactions.add(new_transaction(merchant, **overrides))


async def test_a_number_postgresql_cannot_hold_is_no_outage(
    postgres_url: str, cipher: KeyRing
) -> None:
    async with Store(postgres_url, cipher) as store:
        merchant = await store.merchants.add("demo", "sandbox")
        await store.transactions.add(new_transaction(merchant))
        with pytest.raises(ConstraintViolated):
            await store.transactions.record(record_update(merchant, version=2**40))
