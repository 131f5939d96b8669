"""SQLite connections that switch to their thread once per statement.

With aiosqlite's own connection, SQLAlchemy needs four switches per statement (create a cursor,
execute, fetch, close), and a switch costs as much as the work of SQLite itself.
"""

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Any, NamedTuple, Self

import aiosqlite


class _Result(NamedTuple):
    rows: list[Any]
    description: Any
    rowcount: int
    lastrowid: int | None


class OneStepConnection(aiosqlite.Connection):
    """Connection with the interface SQLAlchemy uses; reads whole results. To be awaited once."""

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connector, iter_chunk_size=1)
        self._thread.daemon = True
        self._in_transaction = False

    def cursor(self) -> "OneStepCursor":  # type: ignore[override]
        """Return a cursor that exists on the event loop's side only."""
        return OneStepCursor(self)

    async def run(self, sql: str, parameters: Any, *, many: bool) -> _Result:
        """Execute a statement and fetch all its rows."""
        # Set before it runs, so that a cancelled statement is rolled back.
        self._in_transaction = self._in_transaction or not sql.startswith("SELECT")
        result: _Result = await self._execute(  # type: ignore[no-untyped-call]
            _run, self._conn, sql, parameters, many
        )
        return result

    async def rollback(self) -> None:
        """Roll back the transaction, if there can be one; there is none after SELECTs alone."""
        if self._in_transaction:
            await super().rollback()
            self._in_transaction = False


class OneStepCursor:
    """The part of a cursor's interface that SQLAlchemy's adapter uses."""

    def __init__(self, connection: OneStepConnection) -> None:
        self.arraysize = 1
        self._connection = connection
        self._result = _Result([], None, -1, None)

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, sql: str, parameters: Any = ()) -> Self:
        """Execute the statement; raises what sqlite3 raises."""
        self._result = await self._connection.run(sql, parameters, many=False)
        return self

    async def executemany(self, sql: str, parameters: Iterable[Any]) -> Self:
        """Execute the statement; raises what sqlite3 raises."""
        self._result = await self._connection.run(sql, parameters, many=True)
        return self

    async def fetchall(self) -> list[Any]:
        """Return the rows, which were fetched with the statement."""
        return self._result.rows

    async def close(self) -> None:
        """Do nothing: the cursor was closed with the statement."""

    @property
    def description(self) -> Any:
        """Return the column descriptions, as sqlite3 does."""
        return self._result.description

    @property
    def rowcount(self) -> int:
        """Return the number of changed rows, as sqlite3 does."""
        return self._result.rowcount

    @property
    def lastrowid(self) -> int | None:
        """Return the id of the last inserted row, as sqlite3 does."""
        return self._result.lastrowid


def _run(connection: sqlite3.Connection, sql: str, parameters: Any, many: bool) -> _Result:
    with closing(connection.cursor()) as cursor:
        (cursor.executemany if many else cursor.execute)(sql, parameters)
        rows = cursor.fetchall() if cursor.description else []
        return _Result(rows, cursor.description, cursor.rowcount, cursor.lastrowid)
