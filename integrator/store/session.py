"""Reading and writing connections, and the one place where driver errors become the store's."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Table
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection

from integrator.observability.metrics import counter, histogram
from integrator.store.column_encryption import ColumnCipher, NamedCipher
from integrator.store.engine import open_engine
from integrator.store.errors import ConstraintViolated, StoreError, StoreUnavailable

# SQLSTATE prefixes. Transient: connection, rolled back, resources, operator intervention, and a
# missing table, which a migration will bring.
_TRANSIENT = ("08", "40", "53", "57", "42P01")
_BAD_DATA = "22"

DURATION = histogram(
    "integrator_store_duration_seconds",
    "How long the store was used at a time, the wait for a connection or for the write lock "
    "included",
    "access",
)
ERRORS = counter(
    "integrator_store_errors_total",
    "Uses of the store that failed: `unavailable`, `refused` (by a rule of the schema), `other`",
    *("access", "error"),
)
_SHOWN = {StoreUnavailable: "unavailable", ConstraintViolated: "refused"}

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="Session")


class Session:
    """What every group of queries is built on: an engine and a vault.

    Both connection kinds raise `StoreUnavailable` when the database is out of reach, and
    `ConstraintViolated` when it refuses a row.
    """

    def __init__(self, database_url: str, cipher: NamedCipher) -> None:
        engine = open_engine(database_url)
        self._sqlite = engine.dialect.name == "sqlite"
        self._engine = engine
        self._writer = engine.execution_options(writes=True)
        # A read is a single statement, so it needs no transaction and saves two round trips.
        self._reader = (
            engine if self._sqlite else engine.execution_options(isolation_level="AUTOCOMMIT")
        )
        # Writers of this process queue here in order; SQLite's own waiting polls and is unfair.
        self._turn: AbstractAsyncContextManager[Any] = (
            asyncio.Lock() if self._sqlite else nullcontext()
        )
        self._key_ids = cipher.ids
        self._vault = ColumnCipher(cipher)
        self._under_way: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        """Finish the writes under way, then close all connections; the store ends here."""
        while self._under_way:
            await asyncio.wait(self._under_way)
        await self._engine.dispose()

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        with _Watched("read"):
            async with _translated(), self._reader.connect() as connection:
                yield connection

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[AsyncConnection]:
        with _Watched("write"):
            async with _translated(), self._turn, self._writer.begin() as connection:
                yield connection

    def _insert(self, table: Table) -> Any:
        """An INSERT that can say ON CONFLICT in the dialect in use."""
        # Of the two dialects only the one in use is loaded.
        if self._sqlite:
            from sqlalchemy.dialects import sqlite

            return sqlite.insert(table)
        from sqlalchemy.dialects import postgresql

        return postgresql.insert(table)


def shielded_write(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
    """Let a write run to its end even when its caller is cancelled meanwhile.

    A cancelled statement leaves its cursor behind in the traceback. SQLite does not really close
    a connection with such a cursor, and keeps its write lock until the garbage is collected.
    """

    @wraps(method)
    async def run(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
        task = asyncio.create_task(method(self, *args, **kwargs))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return await asyncio.shield(task)

    return run


class _Watched:
    """Counts one use. A class, because a generator would cost three times as much."""

    __slots__ = ("_access", "_began")

    def __init__(self, access: str) -> None:
        self._access = access

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        DURATION.labels(self._access).observe(time.perf_counter() - self._began)
        if isinstance(error, StoreError):
            ERRORS.labels(self._access, _SHOWN.get(type(error), "other")).inc()


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except (PoolTimeout, OSError) as error:
        raise StoreUnavailable(_reason(error)) from error
    except DBAPIError as error:
        if _is_refusal(error):
            raise ConstraintViolated(_reason(error.orig)) from error
        if _is_outage(error):
            raise StoreUnavailable(_reason(error.orig)) from error
        raise


def _is_refusal(error: DBAPIError) -> bool:
    if isinstance(error, IntegrityError) or _sqlstate(error).startswith(_BAD_DATA):
        return True
    # asyncpg reports a value it cannot encode as an interface error, which else is an outage.
    return error.orig is not None and isinstance(error.orig.__cause__, ValueError)


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
