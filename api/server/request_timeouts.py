"""uvicorn's HTTP protocol with timeouts for slow clients.

uvicorn limits only the pause between two requests. A client that sends request headers byte by
byte, or a body that was refused already, would keep a connection for ever. The timeout of bodies
that are read is in `api.request_body`.
"""

import asyncio
from functools import partial
from typing import Any

import h11
from starlette.responses import Response
from uvicorn.protocols.http.h11_impl import H11Protocol

from api.contract_response import api_error_response
from api.errors import MalformedBody, RequestTimeout
from api.server.request_middleware import SECURITY_HEADERS

HEADER_TIMEOUT_SECONDS = 10.0
UNREAD_BODY_TIMEOUT_SECONDS = 10.0
SHUTDOWN_HEADER_TIMEOUT_SECONDS = 1.0
"""For the first request of a connection made just before shutdown."""


class TimeoutProtocol(H11Protocol):
    """A connection, closed when request headers or an unread body take too long.

    Invalid HTTP is answered with the contract's error body.
    """

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the timeout of the first headers; later ones are timed from their first byte."""
        super().connection_made(transport)
        self._start_timer(HEADER_TIMEOUT_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timeout."""
        self._cancel_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Update the timeout after new data."""
        super().data_received(data)
        self._update_timer()

    def on_response_complete(self) -> None:
        """Start the timeout of an unread body."""
        super().on_response_complete()
        self._update_timer()

    def shutdown(self) -> None:
        """Answer a request that has begun, then close the connection."""
        request_begun = self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]
        if self.cycle is None or request_begun:
            self._cancel_timer()
            self._start_timer(SHUTDOWN_HEADER_TIMEOUT_SECONDS)
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Answer invalid HTTP; `msg` is uvicorn's text."""
        self._cancel_timer()
        self._respond_and_close(api_error_response(MalformedBody(msg)))

    def _update_timer(self) -> None:
        if self.transport.is_closing():
            self._cancel_timer()
        elif self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self._start_timer(HEADER_TIMEOUT_SECONDS)
        elif self.conn.their_state is h11.SEND_BODY and self._is_response_complete():
            self._start_timer(UNREAD_BODY_TIMEOUT_SECONDS)
        else:
            self._cancel_timer()

    def _is_response_complete(self) -> bool:
        return self.cycle is not None and self.cycle.response_complete

    def _start_timer(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(seconds, self._handle_timeout)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _handle_timeout(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self._respond_and_close(api_error_response(RequestTimeout()))
        else:
            self.transport.close()

    def _respond_and_close(self, response: Response) -> None:
        """Send `response` unless another one has begun; then close the connection."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
            return
        headers = {**dict(response.headers), **SECURITY_HEADERS, "Connection": "close"}
        encoded: Any = [(name.lower().encode(), text.encode()) for name, text in headers.items()]
        write = partial(_write_event, self.conn, self.transport)
        write(h11.Response(status_code=response.status_code, headers=encoded))
        write(h11.Data(data=bytes(response.body)))
        write(h11.EndOfMessage())
        self.transport.close()


def _write_event(
    connection: h11.Connection, transport: asyncio.Transport, event: h11.Event
) -> None:
    data = connection.send(event)
    if data:
        transport.write(data)
