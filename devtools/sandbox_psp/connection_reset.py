"""Reset a caller's TCP connection, which the web framework cannot do."""

import asyncio
import socket
import struct
from typing import Any

from fastapi import Request, Response
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

_TRANSPORT_KEY = "transport"


class ResettableProtocol(H11Protocol):
    """uvicorn's HTTP protocol, with each connection's transport in the requests' state."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        # A copy per connection, because uvicorn passes the same dict to all of them.
        super().__init__(config, server_state, dict(app_state), _loop)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Store the transport for the requests of this connection."""
        self.app_state[_TRANSPORT_KEY] = transport
        super().connection_made(transport)


async def reset_connection(request: Request, _: Exception) -> Response:
    """Reset the connection of this request; the returned response is never sent."""
    transport: asyncio.Transport = request.scope["state"][_TRANSPORT_KEY]
    raw: socket.socket = transport.get_extra_info("socket")
    # Lingering for zero seconds turns the close into a reset, as a crashing host would send.
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    # The protocol sees it in the loop's next iteration, and then discards what is still sent.
    await asyncio.sleep(0.01)
    return Response(status_code=204)
