"""The platform's webhook receiver: a small HTTP server that can be down, slow or rude."""

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

ReceiverMode = Literal["fine", "down", "slow", "500", "503"]
_RETRY_AFTER_SECONDS = 2
_SLOW_SECONDS = 2.5
_REPLIES = {
    "fine": b"HTTP/1.1 200 OK\r\n",
    "slow": b"HTTP/1.1 204 No Content\r\n",
    "500": b"HTTP/1.1 500 Internal Server Error\r\n",
    "503": b"HTTP/1.1 503 Service Unavailable\r\n"
    + f"Retry-After: {_RETRY_AFTER_SECONDS}\r\n".encode(),
}


class Receiver:
    """`accepted` is called with every notification that was answered with success.

    `struck` counts the attempts that met each mood other than fine; nobody can count those that
    find the door closed.
    """

    def __init__(self, accepted: Callable[[dict[str, Any]], None]) -> None:
        self.struck: Counter[str] = Counter()
        self.last = time.monotonic()
        self._accepted = accepted
        self._mood: ReceiverMode = "fine"
        self._server: asyncio.Server | None = None
        self._port = 0

    @property
    def url(self) -> str:
        """Where notifications are to be sent."""
        return f"http://127.0.0.1:{self._port}/hook"

    async def start(self) -> None:
        """Begin to listen."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening; connections are refused from now on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def become(self, mood: ReceiverMode) -> None:
        """Answer differently from now on."""
        self._mood = mood
        if mood == "down":
            await self.stop()
        elif self._server is None:
            await self.start()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            body = await _request(reader)
            await self._reply(body, writer)
        except (OSError, asyncio.IncompleteReadError, ValueError):
            self.struck["broken"] += 1
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _reply(self, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        mood, self.last = self._mood, time.monotonic()
        if mood != "fine":
            self.struck[mood] += 1
        if mood == "slow":
            await asyncio.sleep(_SLOW_SECONDS)
        if mood in ("fine", "slow"):
            self._accepted(body)
        reply = _REPLIES.get(mood, _REPLIES["500"])
        writer.write(reply + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()


async def _request(reader: asyncio.StreamReader) -> dict[str, Any]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    lengths = [line for line in head.split("\r\n") if line.startswith("content-length:")]
    length = int(lengths[0].partition(":")[2])
    body: dict[str, Any] = json.loads(await reader.readexactly(length))
    return body
