"""Billwerk+'s side: a receiver of change notifications, with a way to hold its answers."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

OnNotification = Callable[[str, int], Awaitable[None]]


class Answer(StrEnum):
    """How a transaction's notifications are received."""

    ACCEPT = "accept"
    UNREACHABLE = "unreachable"  # the connection is closed before anything is read
    HOLD = "hold"  # read, and answered only when accepting again


class Receiver:
    """HTTP server for change notifications; `on_notification` gets transaction id and type."""

    def __init__(self, on_notification: OnNotification) -> None:
        self.received: Counter[str] = Counter()
        self.attempts: Counter[str] = Counter()
        self._on_notification = on_notification
        self._answers: dict[str, Answer] = {}
        self._changed = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Return the address of the server; the transaction's id is appended to it."""
        if self._server is None:
            raise RuntimeError("The receiver has not been started.")
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/hook"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def answer(self, transaction_id: str, answer: Answer) -> None:
        """Set how the transaction's notifications are received from now on."""
        async with self._changed:
            self._answers[transaction_id] = answer
            self._changed.notify_all()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._respond(reader, writer)
        writer.close()

    async def _respond(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        path = head.split(" ", 2)[1]
        id = path.rpartition("/")[2]
        self.attempts[id] += 1
        if self._answers.get(id) is Answer.UNREACHABLE:
            return
        length = next(
            int(line.partition(":")[2])
            for line in head.split("\r\n")
            if line.lower().startswith("content-length:")
        )
        body: dict[str, Any] = json.loads(await reader.readexactly(length))
        async with self._changed:
            await self._changed.wait_for(lambda: self._answers.get(id) is not Answer.HOLD)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        self.received[id] += 1
        await self._on_notification(body["TransactionId"], body["Type"])
