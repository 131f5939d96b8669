"""Connections to SQLite that step over to their thread once for each statement.

As SQLAlchemy drives aiosqlite, a statement is four such steps (make a cursor, execute, fetch,
close), and a step costs as much as SQLite does.
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
    """What SQLAlchemy uses of a connection; results are read whole. To be awaited once."""

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connector, iter_chunk_size=1)
        self._thread.daemon = True
        self._begun = False

    def cursor(self) -> "OneStepCursor":  # type: ignore[override]
        """A cursor that exists on the loop's side only."""
        return OneStepCursor(self)

    async def run(self, sql: str, parameters: Any, *, many: bool) -> _Result:
        """Execute a statement and fetch all its rows."""
        # Before it runs: whoever is cancelled meanwhile has it rolled back.
        self._begun = self._begun or not sql.startswith("SELECT")
        result: _Result = await self._execute(  # type: ignore[no-untyped-call]
            _run, self._conn, sql, parameters, many
        )
        return result

    async def rollback(self) -> None:
        """End a transaction, if there can be one: not after questions alone."""
        if self._begun:
            await super().rollback()
            self._begun = False


class OneStepCursor:
    """The part of a cursor's interface that SQLAlchemy's adapter uses."""

    def __init__(self, connection: OneStepConnection) -> None:
        self.arraysize = 1
        self._connection = connection
        self._result = _Result([], None, -1, None)

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, sql: str, parameters: Any = ()) -> Self:
        """Raises what sqlite3 raises."""
        self._result = await self._connection.run(sql, parameters, many=False)
        return self

    async def executemany(self, sql: str, parameters: Iterable[Any]) -> Self:
        """Raises what sqlite3 raises."""
        self._result = await self._connection.run(sql, parameters, many=True)
        return self

    async def fetchall(self) -> list[Any]:
        """The rows, which are here already."""
        return self._result.rows

    async def close(self) -> None:
        """There is nothing left to close."""

    @property
    def description(self) -> Any:
        """As of sqlite3."""
        return self._result.description

    @property
    def rowcount(self) -> int:
        """As of sqlite3."""
        return self._result.rowcount

    @property
    def lastrowid(self) -> int | None:
        """As of sqlite3."""
        return self._result.lastrowid


def _run(connection: sqlite3.Connection, sql: str, parameters: Any, many: bool) -> _Result:
    with closing(connection.cursor()) as cursor:
        (cursor.executemany if many else cursor.execute)(sql, parameters)
        rows = cursor.fetchall() if cursor.description else []
        return _Result(rows, cursor.description, cursor.rowcount, cursor.lastrowid)
