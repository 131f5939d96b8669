"""SQLite for asyncio in one step to a thread per statement.

aiosqlite takes four for a query (make a cursor, run it, fetch, close) and one more to roll back
what was only read; each costs as much as the query itself. SQLAlchemy reads all rows at once, so
one step can do it all. The rest of its aiosqlite dialect is used as it is.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, TypeVar

T = TypeVar("T")
Parameters = Sequence[Any]


class Cursor:
    """What SQLAlchemy asks of a cursor; the rows are there as soon as the statement has run."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, statement: str, parameters: Parameters = ()) -> Self:
        """Run one statement; raises what `sqlite3` raises."""
        return await self._run(lambda raw: raw.execute(statement, parameters))

    async def executemany(self, statement: str, parameters: Sequence[Parameters]) -> Self:
        """Run one statement for each set of parameters."""
        return await self._run(lambda raw: raw.executemany(statement, parameters))

    async def fetchall(self) -> list[Any]:
        """All rows."""
        return self._rows

    async def close(self) -> None:
        """Nothing is open any more."""

    async def _run(self, start: Callable[[sqlite3.Connection], sqlite3.Cursor]) -> Self:
        def work(raw: sqlite3.Connection) -> None:
            cursor = start(raw)
            try:
                self.description = cursor.description
                self._rows = cursor.fetchall() if cursor.description else []
                self.rowcount, self.lastrowid = cursor.rowcount, cursor.lastrowid
            finally:
                # One that is left to the garbage collector would keep its lock until then.
                cursor.close()

        await self._connection.run(work)
        return self


class Connection:
    """A connection that lives in a thread of its own, which does one thing after the other.

    Transactions are begun by who uses it: the isolation level is None.
    """

    isolation_level = None

    def __init__(self, *args: Any, **options: Any) -> None:
        """As `sqlite3.connect`; nothing is opened before `open`."""
        self._args, self._options = args, options
        self._thread = ThreadPoolExecutor(1, "sqlite")
        self._connection: sqlite3.Connection | None = None

    async def open(self) -> Self:
        """Open the file; raises `sqlite3.OperationalError`."""

        def connect() -> sqlite3.Connection:
            options = {**self._options, "isolation_level": None, "check_same_thread": False}
            opened: sqlite3.Connection = sqlite3.connect(*self._args, **options)
            return opened

        try:
            self._connection = await self._do(connect)
        except BaseException:
            self._thread.shutdown(wait=False)
            raise
        return self

    def cursor(self) -> Cursor:
        """For one statement."""
        return Cursor(self)

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Have `work` done in the thread; it goes on if the waiting is cancelled."""
        raw = self._connection
        if raw is None:
            raise sqlite3.ProgrammingError("the connection is closed")
        return await self._do(lambda: work(raw))

    async def create_function(self, *args: Any, **options: Any) -> None:
        """Make a function known to SQL."""
        await self.run(lambda raw: raw.create_function(*args, **options))

    async def commit(self) -> None:
        """Commit, if there is anything to."""
        await self._end(sqlite3.Connection.commit)

    async def rollback(self) -> None:
        """Roll back, if there is anything to: most reads begin no transaction."""
        await self._end(sqlite3.Connection.rollback)

    async def close(self) -> None:
        """Close, after what is under way."""
        raw, self._connection = self._connection, None
        if raw is not None:
            await self._do(raw.close)
        self._thread.shutdown(wait=False)

    def stop(self) -> None:
        """Close without waiting for it."""
        raw, self._connection = self._connection, None
        if raw is not None:
            self._thread.submit(raw.close)
        self._thread.shutdown(wait=False)

    async def _end(self, how: Callable[[sqlite3.Connection], None]) -> None:
        if self._connection is not None and self._connection.in_transaction:
            await self.run(how)

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)
