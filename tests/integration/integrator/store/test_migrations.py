"""The migrations create the schema that the tables define."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Inspector, inspect, text
from sqlalchemy.exc import DBAPIError

from integrator.store import migrate
from integrator.store.engine import open_engine
from integrator.store.migrate import current_revision, upgrade
from integrator.store.schema import newest_revision
from integrator.store.tables import metadata


def _differences(connection: Connection) -> list[Any]:
    options = {"compare_type": True, "compare_server_default": True}
    context = MigrationContext.configure(connection, opts=options)
    return list(compare_metadata(context, metadata))


def _checks(connection: Connection) -> dict[str, set[tuple[str | None, str]]]:
    inspector: Inspector = inspect(connection)
    return {
        table: {(check["name"], check["sqltext"]) for check in checks}
        for table in metadata.tables
        if (checks := inspector.get_check_constraints(table))
    }


async def test_the_migrated_schema_matches_the_tables(url: str) -> None:
    engine = open_engine(url)
    async with engine.connect() as connection:
        assert await connection.run_sync(_differences) == []
    await engine.dispose()


async def test_the_migrated_check_constraints_match_the_tables(empty_url: str) -> None:
    engine = open_engine(empty_url)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
        expected = await connection.run_sync(_checks)
        await connection.run_sync(metadata.drop_all)
    await upgrade(empty_url)
    async with engine.connect() as connection:
        assert await connection.run_sync(_checks) == expected
    await engine.dispose()
    assert {table: len(checks) for table, checks in expected.items()} == {
        "data_keys": 1,
        "transactions": 2,
        "notifications": 1,
        "deliveries": 1,
        "decisions": 3,
    }


async def test_several_processes_may_upgrade_at_once(empty_url: str) -> None:
    await asyncio.gather(*(upgrade(empty_url) for _ in range(8)))
    engine = open_engine(empty_url)
    async with engine.connect() as connection:
        result = await connection.execute(text("SELECT version_num FROM alembic_version"))
        assert result.scalars().all() == [newest_revision()]
    await engine.dispose()


async def test_a_locked_table_ends_the_migration_and_it_may_be_repeated(
    postgres_empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It must not wait in front of the requests of the running version."""
    monkeypatch.setattr(migrate, "LOCK_TIMEOUT_MS", 100)
    older = "0007"  # the next revision alters the table
    await upgrade(postgres_empty, older)
    engine = open_engine(postgres_empty)
    async with engine.begin() as connection:
        await connection.execute(text("SELECT count(*) FROM transactions"))
        with pytest.raises(DBAPIError, match="lock timeout"):
            await upgrade(postgres_empty)
    await engine.dispose()
    assert await current_revision(postgres_empty) == older
    assert await upgrade(postgres_empty) == newest_revision()


async def test_sqlite_is_durable_and_checks_foreign_keys(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'new folder' / 'store.db'}"
    await upgrade(url)
    engine = open_engine(url)
    async with engine.connect() as connection:
        pragmas = {
            name: await connection.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    await engine.dispose()
    assert pragmas == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 5000,
    }


def test_other_databases_are_rejected() -> None:
    with pytest.raises(ValueError, match="unsupported database driver: mysql"):
        open_engine("mysql://localhost/store")
