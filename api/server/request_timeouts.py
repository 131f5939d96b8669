"""uvicorn's connections, with limits on how long a caller may take.

uvicorn limits the pause between two requests only. Whoever sends the head of a request byte by
byte, or a body that was refused already, would keep a connection for ever. Bodies that are waited
for have their limit where they are read (`api.request_body`).
"""

import asyncio
from functools import partial
from typing import Any

import h11
from starlette.responses import Response
from uvicorn.protocols.http.h11_impl import H11Protocol

from api.contract_response import refusal
from api.errors import MalformedBody, RequestTimeout
from api.server.request_middleware import SAFE_HEADERS

HEAD_SECONDS = 10.0
LEFTOVER_SECONDS = 10.0
LAST_HEAD_SECONDS = 1.0
"""For the first request of a connection that was made just before the process began to end."""


class TimeoutProtocol(H11Protocol):
    """One connection. It ends when the head of a request, or a body nobody reads, takes too long;
    what is no HTTP is answered like every other error."""

    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The first head is waited for from now on, the later ones from their first byte on."""
        super().connection_made(transport)
        self._arm(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Whatever is waited for changes with what has arrived."""
        super().data_received(data)
        self._look()

    def on_response_complete(self) -> None:
        """From here on nobody reads what may still come of the body."""
        super().on_response_complete()
        self._look()

    def shutdown(self) -> None:
        """A request that is on its way is answered, and its answer ends the connection."""
        begun = self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]
        if self.cycle is None or begun:
            self._disarm()
            self._arm(LAST_HEAD_SECONDS)
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """For what is no HTTP; `msg` is uvicorn's own text."""
        self._disarm()
        self._refuse(refusal(MalformedBody(msg)))

    def _look(self) -> None:
        if self.transport.is_closing():
            self._disarm()
        elif self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self._arm(HEAD_SECONDS)
        elif self.conn.their_state is h11.SEND_BODY and self._answered():
            self._arm(LEFTOVER_SECONDS)
        else:
            self._disarm()

    def _answered(self) -> bool:
        return self.cycle is not None and self.cycle.response_complete

    def _arm(self, seconds: float) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(seconds, self._give_up)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _give_up(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self._refuse(refusal(RequestTimeout()))
        else:
            self.transport.close()

    def _refuse(self, response: Response) -> None:
        """Answer without the application, unless it has begun to answer; then hang up."""
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()
            return
        headers = {**dict(response.headers), **SAFE_HEADERS, "Connection": "close"}
        encoded: Any = [(name.lower().encode(), text.encode()) for name, text in headers.items()]
        write = partial(_write, self.conn, self.transport)
        write(h11.Response(status_code=response.status_code, headers=encoded))
        write(h11.Data(data=bytes(response.body)))
        write(h11.EndOfMessage())
        self.transport.close()


def _write(connection: h11.Connection, transport: asyncio.Transport, event: h11.Event) -> None:
    data = connection.send(event)
    if data:
        transport.write(data)
