"""Migration of a database to the current schema."""

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from integrator.store import schema
from integrator.store.engine import BUSY_TIMEOUT_MS, open_engine, sqlite_file

LOCK_TIMEOUT_MS = 3_000
"""Requests for a table queue behind a migration that waits for the table's lock."""

# Any constant works, as long as it never changes.
_MIGRATION_LOCK = 7_305_190_522


async def upgrade(database_url: str, revision: str = "head") -> str:
    """Create or upgrade the schema, up to `revision`, and return its revision.

    Does nothing when it is current, or newer than this code. Takes the same URLs as `Store`.
    Creates the parent folder of a SQLite file if missing. Several processes may call this at once.
    Raises the driver's errors when the database is out of reach, or when a table stays locked for
    more than `LOCK_TIMEOUT_MS`: then nothing has changed, and it may be repeated.
    """
    file = sqlite_file(database_url)
    if file is not None:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        await asyncio.to_thread(_use_wal, file)
    # Building an index may take longer than a statement of the store.
    engine = open_engine(database_url, command_timeout=None)
    try:
        async with engine.execution_options(writes=True).begin() as connection:
            return await connection.run_sync(_upgrade, revision)
    finally:
        await engine.dispose()


async def current_revision(database_url: str) -> str | None:
    """Return the schema's revision, None before the first migration.

    Raises the driver's errors when the database is out of reach.
    """
    engine = open_engine(database_url)
    try:
        async with engine.connect() as connection:
            return await connection.run_sync(_current_revision)
    finally:
        await engine.dispose()


def config(connection: Connection) -> Config:
    """Return Alembic's configuration for an open connection."""
    settings = Config(attributes={"connection": connection})
    settings.set_main_option("script_location", str(schema.MIGRATIONS).replace("%", "%%"))
    return settings


def _current_revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _use_wal(file: Path) -> None:
    """Set the journal mode, which SQLite keeps in the file."""
    deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
    with closing(sqlite3.connect(file)) as connection:
        while True:
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError:
                # When two processes switch a new file at once, one gets "locked" immediately,
                # regardless of the busy timeout.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.01)


def _upgrade(connection: Connection, revision: str) -> str:
    # SQLite holds its write lock already. Without a lock, PostgreSQL would let a second process
    # start the same migration.
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:id)"), {"id": _MIGRATION_LOCK})
        connection.execute(text(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}"))
    current = _current_revision(connection)
    if current is None or not schema.is_newer(current):
        command.upgrade(config(connection), revision)
        current = _current_revision(connection)
    return str(current)
