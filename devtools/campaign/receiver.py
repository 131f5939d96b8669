"""Webhook receiver of the simulated Billwerk+: can be down, slow or respond with errors."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Literal

from integrator.psp.conformance.receiver import OpenConnections

ReceiverMode = Literal["fine", "down", "slow", "500", "503"]
_RETRY_AFTER_SECONDS = 2
_SLOW_SECONDS = 2.5
_RESPONSES = {
    "fine": b"HTTP/1.1 200 OK\r\n",
    "slow": b"HTTP/1.1 204 No Content\r\n",
    "500": b"HTTP/1.1 500 Internal Server Error\r\n",
    "503": b"HTTP/1.1 503 Service Unavailable\r\n"
    + f"Retry-After: {_RETRY_AFTER_SECONDS}\r\n".encode(),
}


class WebhookReceiver:
    """HTTP server whose mode determines its response.

    `on_accepted` is called with every notification that gets a successful response. `hits` counts
    the attempts received in each mode other than "fine"; refused connections cannot be counted.
    """

    def __init__(self, on_accepted: Callable[[dict[str, Any]], None]) -> None:
        self.hits: Counter[str] = Counter()
        self.last_received = time.monotonic()
        self._on_accepted = on_accepted
        self._mode: ReceiverMode = "fine"
        self._server: asyncio.Server | None = None
        self._connections = OpenConnections()
        self._port = 0

    @property
    def url(self) -> str:
        """Return the webhook URL."""
        return f"http://127.0.0.1:{self._port}/hook"

    async def start(self) -> None:
        """Start listening."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening; connections are refused from now on."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def close(self) -> None:
        """Stop listening and abort every open connection."""
        await self.stop()
        await self._connections.abort()

    async def set_mode(self, mode: ReceiverMode) -> None:
        """Switch to another mode."""
        self._mode = mode
        if mode == "down":
            await self.stop()
        elif self._server is None:
            await self.start()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with self._connections.closing(writer):
            try:
                body = await _read_request(reader)
                await self._respond(body, writer)
            except (OSError, asyncio.IncompleteReadError, ValueError):
                self.hits["broken"] += 1

    async def _respond(self, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        mode, self.last_received = self._mode, time.monotonic()
        if mode != "fine":
            self.hits[mode] += 1
        if mode == "slow":
            await asyncio.sleep(_SLOW_SECONDS)
        if mode in ("fine", "slow"):
            self._on_accepted(body)
        response = _RESPONSES.get(mode, _RESPONSES["500"])
        writer.write(response + b"Content-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()


async def _read_request(reader: asyncio.StreamReader) -> dict[str, Any]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    lengths = [line for line in head.split("\r\n") if line.startswith("content-length:")]
    length = int(lengths[0].partition(":")[2])
    body: dict[str, Any] = json.loads(await reader.readexactly(length))
    return body
