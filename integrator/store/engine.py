"""One way to open the database, the same for the store and for migrations."""

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
_POOL_TIMEOUT_S = 5
_CONNECT_TIMEOUT_S = 5
_COMMAND_TIMEOUT_S = 30
_TRUSTED_S = 1.0
"""So long after its last use a connection is taken to be still there."""
_USED = "used at"


def open_engine(database_url: str) -> AsyncEngine:
    """An engine for `sqlite+aiosqlite:///…` or `postgresql+asyncpg://…`.

    On SQLite a connection begins a transaction only with the execution option `writes`, and then
    takes the write lock at once. Connects lazily; raises `ValueError` for any other database.
    """
    driver = make_url(database_url).drivername
    if driver == "sqlite+aiosqlite":
        return _open_sqlite(database_url)
    if driver == "postgresql+asyncpg":
        return _open_postgresql(database_url)
    raise ValueError(f"unsupported database driver: {driver}")


def sqlite_file(database_url: str) -> Path | None:
    """The file behind a SQLite URL, None for any other database or one in memory."""
    url = make_url(database_url)
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(str(url.database))


def _open_sqlite(database_url: str) -> AsyncEngine:
    async def connect() -> aiosqlite.Connection:
        return await OneStepConnection(partial(sqlite3.connect, *where, **options))

    engine = create_async_engine(
        database_url,
        async_creator=connect,
        pool_timeout=_POOL_TIMEOUT_S,
        hide_parameters=True,
    )
    where, options = engine.dialect.create_connect_args(engine.url)
    event.listen(engine.sync_engine, "connect", _prepare_sqlite)
    event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


def _open_postgresql(database_url: str) -> AsyncEngine:
    engine = create_async_engine(
        database_url,
        pool_timeout=_POOL_TIMEOUT_S,
        hide_parameters=True,
        connect_args={"timeout": _CONNECT_TIMEOUT_S, "command_timeout": _COMMAND_TIMEOUT_S},
    )
    event.listen(engine.sync_engine, "checkout", _require_alive)
    event.listen(engine.sync_engine, "checkin", _note_use)
    return engine


def _require_alive(connection: Any, record: Any, _proxy: Any) -> None:
    """Instead of `pool_pre_ping`, which asks each time, in three round trips.

    The driver knows by itself of a connection that the server has closed.
    """
    unused = time.monotonic() - record.info.get(_USED, -math.inf)
    try:
        if not connection.driver_connection.is_closed():
            if unused > _TRUSTED_S:
                connection.ping()
            return
    except connection.dbapi.Error:
        pass
    raise InvalidatePoolError


def _note_use(_connection: Any, record: Any) -> None:
    record.info[_USED] = time.monotonic()


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    # The driver would begin transactions by itself, deferred: too late for the write lock.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that reads and then writes fails with "database is locked" at once,
    # whatever the busy timeout, when another process wrote in between.
    if connection.get_execution_options().get("writes"):
        connection.exec_driver_sql("BEGIN IMMEDIATE")
