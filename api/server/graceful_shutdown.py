"""The end of a process that others send requests to: first nobody new, then nothing left."""

import asyncio
import logging
import os
import signal
import socket
from types import FrameType
from typing import Any

import uvicorn
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

KILLED = 128
"""A process that a signal has ended says so with this and the signal's number (POSIX shells)."""

HANDSHAKE_SECONDS = 2.0
"""For the TLS of a connection that was made just before the process began to end."""


class Drain:
    """ASGI around the application. Once `begun`, every answer ends its connection, so that the
    next request of the same proxy or client goes elsewhere."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def last(message: Message) -> None:
            if self.begun and message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        if scope["type"] == "http":
            # Where the application finds out that it is not ready any more.
            scope = {**scope, "draining": self.begun}
        await self._app(scope, receive, last)


class DrainingServer(uvicorn.Server):
    """Takes requests for `seconds` after SIGTERM or SIGINT, then finishes those it has.

    A second signal ends the process at once, with what is under way.
    """

    def __init__(self, config: uvicorn.Config, drain: Drain, seconds: float) -> None:
        super().__init__(config)
        self._drain = drain
        self._seconds = seconds

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by the signal, between two steps of the event loop."""
        if self._drain.begun:
            log.warning("A second %s: ends at once.", signal.Signals(sig).name)
            logging.shutdown()
            os._exit(KILLED + sig)
        self._drain.begun = True
        log.info("%s: not ready any more.", signal.Signals(sig).name)
        if self._seconds and self.started:
            loop = asyncio.get_running_loop()
            loop.call_soon_threadsafe(loop.call_later, self._seconds, self._leave, sig, frame)
        else:
            self._leave(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Nobody new from here on; whoever has got as far as a connection is still answered."""
        self._drain.begun = True
        waiting = self._close_listeners()
        await asyncio.gather(*map(self._welcome, waiting))
        await super().shutdown(sockets)

    def _leave(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)

    def _close_listeners(self) -> list[socket.socket]:
        """The connections nobody has accepted yet: closing alone would make the kernel reset them,
        and their requests may have been sent."""
        listeners = [
            socket.socket(fileno=os.dup(one.fileno()))
            for server in self.servers
            for one in server.sockets
        ]
        for server in self.servers:
            server.close()
        waiting = []
        for listener in listeners:
            with listener:
                waiting += _accepted(listener)
        return waiting

    async def _welcome(self, waiting: socket.socket) -> None:
        """As uvicorn does with the connections it accepts itself."""
        protocol: Any = self.config.http_protocol_class
        certificate = self.config.ssl
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: protocol(
                    config=self.config,
                    server_state=self.server_state,
                    app_state=self.lifespan.state,
                ),
                waiting,
                ssl=certificate,
                ssl_handshake_timeout=HANDSHAKE_SECONDS if certificate else None,
            )
        except OSError as error:
            log.warning("A connection was lost before its request: %s", error)


def _accepted(listener: socket.socket) -> list[socket.socket]:
    found: list[socket.socket] = []
    while True:
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            return found
        except OSError as error:
            log.warning("A connection was lost before it was accepted: %s", error)
            return found
        connection.setblocking(False)
        found.append(connection)
