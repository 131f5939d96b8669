"""Engines for SQLite and PostgreSQL, used by the store and by migrations."""

import math
import sqlite3
import time
from functools import partial
from pathlib import Path
from typing import Any

import aiosqlite
from sqlalchemy import Connection, event, make_url
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from integrator.store.sqlite import OneStepConnection

BUSY_TIMEOUT_MS = 5_000
POOL_TIMEOUT_S = 5
MAX_CONNECTIONS = 15
"""Connections of one engine; they stay open, because opening one costs as much as a transaction."""
_CONNECT_TIMEOUT_S = 5
_COMMAND_TIMEOUT_S = 30
_LIVENESS_CHECK_AFTER_S = 1.0
"""A connection used within this time is assumed to be alive."""
_LAST_USED = "used at"


def open_engine(
    database_url: str, command_timeout: float | None = _COMMAND_TIMEOUT_S
) -> AsyncEngine:
    """Create an engine for `sqlite+aiosqlite:///…` or `postgresql+asyncpg://…`.

    `command_timeout` is the limit of one statement on PostgreSQL in seconds. On SQLite a
    connection begins a transaction only with the execution option `writes`, and then takes the
    write lock at once. Connects lazily; raises `ValueError` for any other database.
    """
    driver = make_url(database_url).drivername
    if driver == "sqlite+aiosqlite":
        return _open_sqlite(database_url)
    if driver == "postgresql+asyncpg":
        return _open_postgresql(database_url, command_timeout)
    raise ValueError(f"unsupported database driver: {driver}")


def sqlite_file(database_url: str) -> Path | None:
    """Return the file of a SQLite URL; None for another database or one in memory."""
    url = make_url(database_url)
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(str(url.database))


def _open_sqlite(database_url: str) -> AsyncEngine:
    async def connect() -> aiosqlite.Connection:
        return await OneStepConnection(partial(sqlite3.connect, *arguments, **options))

    engine = create_async_engine(
        database_url,
        async_creator=connect,
        pool_size=MAX_CONNECTIONS,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
        hide_parameters=True,
    )
    arguments, options = engine.dialect.create_connect_args(engine.url)
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _open_postgresql(database_url: str, command_timeout: float | None) -> AsyncEngine:
    engine = create_async_engine(
        database_url,
        pool_size=MAX_CONNECTIONS,
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
        hide_parameters=True,
        connect_args={"timeout": _CONNECT_TIMEOUT_S, "command_timeout": command_timeout},
    )
    event.listen(engine.sync_engine, "checkout", _require_alive)
    event.listen(engine.sync_engine, "checkin", _record_use)
    return engine


def _require_alive(connection: Any, record: Any, _proxy: Any) -> None:
    """Raise `InvalidatePoolError` for a connection that is closed or does not answer a ping.

    Replaces `pool_pre_ping`, which pings at every checkout, in three round trips. The driver
    notices by itself when the server has closed a connection.
    """
    unused = time.monotonic() - record.info.get(_LAST_USED, -math.inf)
    try:
        if not connection.driver_connection.is_closed():
            if unused > _LIVENESS_CHECK_AFTER_S:
                connection.ping()
            return
    except connection.dbapi.Error:
        pass
    raise InvalidatePoolError


def _record_use(_connection: Any, record: Any) -> None:
    record.info[_LAST_USED] = time.monotonic()


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver would begin deferred transactions: too late for the write lock.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that reads and then writes fails with "database is locked" at once,
    # regardless of the busy timeout, when another process wrote in between.
    if connection.get_execution_options().get("writes"):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
