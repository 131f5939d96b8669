"""The migrations make the schema that the queries expect."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, Inspector, inspect, text

from integrator.store.engine import open_engine
from integrator.store.migrate import revisions, upgrade
from integrator.store.tables import metadata


def _differences(connection: Connection) -> list[Any]:
    options = {"compare_type": True, "compare_server_default": True}
    context = MigrationContext.configure(connection, opts=options)
    return list(compare_metadata(context, metadata))


def _checks(connection: Connection) -> dict[str, set[tuple[str | None, str]]]:
    inspector: Inspector = inspect(connection)
    return {
        table: {(check["name"], check["sqltext"]) for check in found}
        for table in metadata.tables
        if (found := inspector.get_check_constraints(table))
    }


async def test_the_migrated_schema_is_the_one_of_the_tables(url: str) -> None:
    engine = open_engine(url)
    async with engine.connect() as connection:
        assert await connection.run_sync(_differences) == []
    await engine.dispose()


async def test_the_checks_are_those_of_the_tables(empty_url: str) -> None:
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
        found = await connection.execute(text("SELECT version_num FROM alembic_version"))
        assert found.scalars().all() == ["0007"]
    await engine.dispose()


async def test_the_revisions_tell_whether_a_migration_is_due(empty_url: str) -> None:
    engine = open_engine(empty_url)  # makes a SQLite file, as its first user would
    async with engine.connect():
        pass
    await engine.dispose()
    assert await revisions(empty_url) == (None, "0007")
    await upgrade(empty_url, "0006")
    assert await revisions(empty_url) == ("0006", "0007")


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


def test_other_databases_are_refused() -> None:
    with pytest.raises(ValueError, match="unsupported database driver: mysql"):
        open_engine("mysql://localhost/store")
