"""Read and write access to the database; the one place that translates driver errors."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from types import TracebackType
from typing import Any

from sqlalchemy import Table
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection

from integrator.observability.metrics import counter, histogram
from integrator.store.column_encryption import ColumnCipher, NamedCipher
from integrator.store.engine import MAX_CONNECTIONS, POOL_TIMEOUT_S, open_engine
from integrator.store.errors import (
    ConstraintViolated,
    SchemaMissing,
    StoreError,
    StoreUnavailable,
)

# SQLSTATE prefixes. Transient: connection, role or password refused, database missing (both are
# created or corrected while processes wait), rollback, resources, operator intervention.
_TRANSIENT = ("08", "28", "3D", "40", "53", "57")
_UNDEFINED_TABLE = "42P01"
_BAD_DATA = "22"

DURATION = histogram(
    "integrator_store_duration_seconds",
    "Duration of one use of the store, including the wait for a connection or for the write lock",
    "access",
)
ERRORS = counter(
    "integrator_store_errors_total",
    "Failed uses of the store: `unavailable`, `refused` (by a constraint of the schema), `other`",
    *("access", "error"),
)
_ERROR_LABELS = {
    StoreUnavailable: "unavailable",
    SchemaMissing: "unavailable",
    ConstraintViolated: "refused",
}


class Session:
    """Connections to the database and the cipher for its columns, shared by all repositories.

    Both kinds of connection raise `StoreUnavailable` when the database is out of reach, and
    `ConstraintViolated` when it refuses a row.
    """

    def __init__(self, database_url: str, cipher: NamedCipher) -> None:
        engine = open_engine(database_url)
        self.sqlite = engine.dialect.name == "sqlite"
        self.key_ids = cipher.ids
        self.cipher = ColumnCipher(cipher)
        self.pending_writes: set[asyncio.Task[Any]] = set()
        self._engine = engine
        self._writer = engine.execution_options(writes=True)
        # A read is a single statement, so it needs no transaction and saves two round trips.
        self._reader = (
            engine if self.sqlite else engine.execution_options(isolation_level="AUTOCOMMIT")
        )
        # Writers of this process queue here in order; SQLite itself polls for its lock, unfairly.
        self._write_lock: AbstractAsyncContextManager[Any] = (
            asyncio.Lock() if self.sqlite else nullcontext()
        )
        self._slots = _ConnectionSlots()

    async def close(self) -> None:
        """Wait for the writes in progress, then close all connections."""
        while self.pending_writes:
            await asyncio.wait(self.pending_writes)
        await self._engine.dispose()

    @asynccontextmanager
    async def read_connection(self) -> AsyncIterator[AsyncConnection]:
        """Connect for reading: each statement sees what is committed when it begins."""
        with _AccessTimer("read"):
            async with _translate_errors(), self._slots, self._reader.connect() as connection:
                yield connection

    @asynccontextmanager
    async def write_transaction(self) -> AsyncIterator[AsyncConnection]:
        """Begin a transaction that is committed at the end, or rolled back after an error."""
        with _AccessTimer("write"):
            async with (
                _translate_errors(),
                self._write_lock,
                self._slots,
                self._writer.begin() as connection,
            ):
                yield connection

    def insert(self, table: Table) -> Any:
        """Build an INSERT that supports ON CONFLICT in the SQL dialect in use."""
        # Import only the dialect in use.
        if self.sqlite:
            from sqlalchemy.dialects import sqlite

            return sqlite.insert(table)
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)


class _ConnectionSlots:
    """One slot per connection of the pool; those who wait for one get it in order.

    The pool itself is never waited for, because it serves later callers before those that wait: on
    a busy machine, some waited until the timeout although connections had been returned.
    """

    def __init__(self) -> None:
        self._semaphore = asyncio.Semaphore(MAX_CONNECTIONS)

    async def __aenter__(self) -> None:
        if not self._semaphore.locked():
            await self._semaphore.acquire()  # does not wait, so it needs no timeout
            return
        try:
            async with asyncio.timeout(POOL_TIMEOUT_S):
                await self._semaphore.acquire()
        except TimeoutError:
            raise StoreUnavailable(
                f"no connection became free within {POOL_TIMEOUT_S} s; {MAX_CONNECTIONS} are in use"
            ) from None

    async def __aexit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._semaphore.release()


class _AccessTimer:
    """Measure one access. A class, because a generator would cost three times as much."""

    __slots__ = ("_access", "_started")

    def __init__(self, access: str) -> None:
        self._access = access

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        DURATION.labels(self._access).observe(time.perf_counter() - self._started)
        if isinstance(error, StoreError):
            ERRORS.labels(self._access, _ERROR_LABELS.get(type(error), "other")).inc()


@asynccontextmanager
async def _translate_errors() -> AsyncIterator[None]:
    try:
        yield
    except (PoolTimeout, OSError) as error:
        raise StoreUnavailable(_reason(error)) from error
    except DBAPIError as error:
        if _is_constraint_violation(error):
            raise ConstraintViolated(_reason(error.orig)) from error
        if _is_missing_table(error):
            raise SchemaMissing(_reason(error.orig)) from error
        if _is_outage(error):
            raise StoreUnavailable(_reason(error.orig)) from error
        raise


def _is_constraint_violation(error: DBAPIError) -> bool:
    if isinstance(error, IntegrityError) or _sqlstate(error).startswith(_BAD_DATA):
        return True
    # asyncpg reports a value it cannot encode as an interface error, which otherwise means outage.
    return error.orig is not None and isinstance(error.orig.__cause__, ValueError)


def _is_missing_table(error: DBAPIError) -> bool:
    """Return whether a migration will remove the error."""
    return _sqlstate(error) == _UNDEFINED_TABLE or "no such table" in str(error.orig)


def _is_outage(error: DBAPIError) -> bool:
    return (
        isinstance(error, OperationalError | InterfaceError)
        or error.connection_invalidated
        or _sqlstate(error).startswith(_TRANSIENT)
    )


def _sqlstate(error: DBAPIError) -> str:
    return str(getattr(error.orig, "sqlstate", None) or "")


def _reason(error: BaseException | None) -> str:
    return f"{type(error).__name__}: {error}"
