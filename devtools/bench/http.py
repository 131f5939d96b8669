"""Minimal HTTP/1.1 client and server that use little processor time.

A full client costs more per call than what is to be measured; this one supports only keep-alive and
`Content-Length`, which both ends here use.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

_HEADERS_END = b"\r\n\r\n"


@dataclass(frozen=True)
class Message:
    """Request or response: start line, headers (names in lower case) and body."""

    start_line: str
    headers: dict[str, str]
    body: bytes

    @property
    def status(self) -> int:
        """Return the status of a response."""
        return int(self.start_line.split(" ", 2)[1])

    @property
    def target(self) -> tuple[str, str]:
        """Return method and path of a request."""
        method, path, _ = self.start_line.split(" ", 2)
        return method, path


Response = tuple[int, bytes]
Handler = Callable[[Message], Awaitable[Response]]


class Client:
    """Client of one server; concurrent calls use separate connections."""

    def __init__(self, host: str, port: int, headers: dict[str, str]) -> None:
        self._host, self._port = host, port
        common = {"Host": f"{host}:{port}", **headers}
        self._head = "".join(f"{name}: {value}\r\n" for name, value in common.items())
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def call(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> Message:
        """Send a request; raises `OSError` or `IncompleteReadError` if the connection breaks."""
        extra = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        head = f"{method} {path} HTTP/1.1\r\n{self._head}{extra}Content-Length: {len(body)}\r\n\r\n"
        reader, writer = await self._connection()
        try:
            writer.write(head.encode() + body)
            response = await read_message(reader)
        except BaseException:
            writer.close()
            raise
        self._idle.append((reader, writer))
        return response

    def close(self) -> None:
        """Close the connections."""
        while self._idle:
            self._idle.pop()[1].close()

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                return reader, writer
            writer.close()
        return await asyncio.open_connection(self._host, self._port)


async def read_message(reader: asyncio.StreamReader) -> Message:
    """Read the next message of a connection; raises `IncompleteReadError` at its end."""
    first, *lines = (await reader.readuntil(_HEADERS_END)).decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    headers = {name.lower(): value.strip() for name, _, value in pairs}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Message(first, headers, body)


@asynccontextmanager
async def http_server(handler: Handler, port: int = 0) -> AsyncIterator[int]:
    """Serve on loopback for as long as the context lasts; yield the port."""
    connections: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(writer)
        try:
            while True:
                status, body = await handler(await read_message(reader))
                head = (
                    f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\n"
                    f"Content-Length: {len(body)}\r\n\r\n"
                )
                writer.write(head.encode() + body)
        except (OSError, asyncio.IncompleteReadError):
            return
        finally:
            connections.discard(writer)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in list(connections):
            writer.close()
        await server.wait_closed()
