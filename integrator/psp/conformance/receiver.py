"""An HTTP server on loopback that records PSPs' notifications as they were received."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from integrator.psp.conformance.harness import Delivery

_MAX_BYTES = 2**20
_ACCEPT_ITERATIONS = 10
"""Of the event loop, after which a connection that was just accepted has its task."""


class OpenConnections:
    """The connections that a server of `asyncio.start_server` has accepted.

    One that outlives its event loop is reported as unclosed during a later test.
    """

    def __init__(self) -> None:
        self._writers: dict[asyncio.Task[object], asyncio.StreamWriter] = {}

    @asynccontextmanager
    async def closing(self, writer: asyncio.StreamWriter) -> AsyncIterator[None]:
        """Close the connection after the block, which serves it in the server's task."""
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a connection is served by a task of its own")
        self._writers[task] = writer
        try:
            yield
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            del self._writers[task]

    async def abort(self) -> None:
        """Abort every connection and wait for the tasks that serve them; call it when closed."""
        for _ in range(_ACCEPT_ITERATIONS):
            await asyncio.sleep(0)
        for writer in self._writers.values():
            writer.transport.abort()
        if self._writers:
            await asyncio.wait(self._writers)


class Receiver:
    """A small HTTP server that answers every delivery with 204.

    `deliveries` holds them by the path they were sent to; an account's notifications go to `url`
    and a path of its own, such as `/shop`.
    """

    def __init__(self) -> None:
        self.deliveries: dict[str, list[Delivery]] = defaultdict(list)
        self.url = ""
        self._server: asyncio.Server | None = None
        self._connections = OpenConnections()

    async def open(self) -> None:
        """Listen on a free port of 127.0.0.1."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_MAX_BYTES)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"

    async def close(self) -> None:
        """Stop listening and abort every open connection."""
        if self._server is not None:
            self._server.close()
        await self._connections.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with self._connections.closing(writer):
            try:
                path, delivery = await _read(reader)
                self.deliveries[path].append(delivery)
                writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
                await writer.drain()
            except (asyncio.IncompleteReadError, OSError, ValueError):
                return  # connection closed, or not HTTP: the PSP will try again


async def _read(reader: asyncio.StreamReader) -> tuple[str, Delivery]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    request_line, *header_lines = head.split("\r\n")
    _, path, _ = request_line.split(" ")
    pairs = (line.partition(":") for line in header_lines if line)
    headers = {name.strip(): text.strip() for name, _, text in pairs}
    length = next((text for name, text in headers.items() if name.lower() == "content-length"), "0")
    return path, Delivery(headers, await reader.readexactly(int(length)))


@asynccontextmanager
async def running_receiver() -> AsyncIterator[Receiver]:
    """Run a receiver."""
    receiver = Receiver()
    await receiver.open()
    try:
        yield receiver
    finally:
        await receiver.close()
