"""Graceful shutdown: keep serving while load balancers react, then finish open requests."""

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

SIGNAL_EXIT_BASE = 128
"""Exit code of a process ended by a signal, less the signal's number (POSIX shells)."""

HANDSHAKE_TIMEOUT_SECONDS = 2.0
"""Limit of the TLS handshake of a connection made just before shutdown."""


class DrainMiddleware:
    """ASGI middleware around the application. Once `started`, every response closes its connection,
    so that the next request of the same proxy or client goes to another instance."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self.started = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_closing(message: Message) -> None:
            if self.started and message["type"] == "http.response.start":
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        if scope["type"] == "http":
            # Read by the readiness check.
            scope = {**scope, "draining": self.started}
        await self._app(scope, receive, send_closing)


class DrainingServer(uvicorn.Server):
    """Accepts requests for `seconds` after SIGTERM or SIGINT, then finishes the open ones.

    A second signal ends the process at once and drops open requests.
    """

    def __init__(self, config: uvicorn.Config, drain: DrainMiddleware, seconds: float) -> None:
        super().__init__(config)
        self._drain = drain
        self._seconds = seconds

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal, between two steps of the event loop."""
        if self._drain.started:
            log.warning("Received a second %s: exiting at once.", signal.Signals(sig).name)
            logging.shutdown()
            os._exit(SIGNAL_EXIT_BASE + sig)
        self._drain.started = True
        log.info("Received %s: draining.", signal.Signals(sig).name)
        if self._seconds and self.started:
            loop = asyncio.get_running_loop()
            loop.call_soon_threadsafe(loop.call_later, self._seconds, self._begin_exit, sig, frame)
        else:
            self._begin_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close the listeners; connections made before are still answered."""
        self._drain.started = True
        pending = self._close_listeners()
        await asyncio.gather(*map(self._serve_connection, pending))
        await super().shutdown(sockets)

    def _begin_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)

    def _close_listeners(self) -> list[socket.socket]:
        """Close the listeners and return the connections not accepted yet: closing alone would make
        the kernel reset them, and their requests may have been sent."""
        listeners = [
            socket.socket(fileno=os.dup(listener.fileno()))
            for server in self.servers
            for listener in server.sockets
        ]
        for server in self.servers:
            server.close()
        pending: list[socket.socket] = []
        for listener in listeners:
            with listener:
                pending += _accept_pending(listener)
        return pending

    async def _serve_connection(self, connection: socket.socket) -> None:
        """Serve a connection as uvicorn serves those it accepts itself."""
        protocol: Any = self.config.http_protocol_class
        certificate = self.config.ssl
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: protocol(
                    config=self.config,
                    server_state=self.server_state,
                    app_state=self.lifespan.state,
                ),
                connection,
                ssl=certificate,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT_SECONDS if certificate else None,
            )
        except OSError as error:
            log.warning("A connection was lost before its request: %s", error)


def _accept_pending(listener: socket.socket) -> list[socket.socket]:
    accepted: list[socket.socket] = []
    while True:
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            return accepted
        except OSError as error:
            log.warning("A connection was lost before it was accepted: %s", error)
            return accepted
        connection.setblocking(False)
        accepted.append(connection)
