"""Webhook receiver of the simulated Billwerk+: a small server, by default on loopback."""

import asyncio
import json
import ssl
import threading
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from devtools.devstack.demo.billing_client import BILLWERK
from devtools.devstack.demo.timeline import Timeline

_MAX_BODY_BYTES = 65_536
_KINDS = {"1": "Preauth", "2": "Payment", "3": "Refund"}


class WebhookReceiver:
    """Counts received change notifications. Call its methods from the event loop only."""

    def __init__(self, url: str, timeline: Timeline) -> None:
        self.url = url
        self._timeline = timeline
        self._counts: dict[str, int] = defaultdict(int)
        self._arrival = asyncio.Condition()

    async def receive(self, body: dict[str, Any]) -> None:
        """Handle one notification, with member names in either case."""
        members = {name.lower(): value for name, value in body.items()}
        id = str(members.get("transactionid"))
        kind = str(members.get("type"))
        request = f"webhook {_KINDS.get(kind, kind)} {id[:12]}…"
        self._timeline.add_exchange("Integrator", BILLWERK, request, "received", good=True)
        async with self._arrival:
            self._counts[id] += 1
            self._arrival.notify_all()

    def count(self, id: str) -> int:
        """Return the number of notifications received for a transaction."""
        return self._counts[id]

    async def wait_for_more(self, id: str, count: int) -> None:
        """Wait until more than `count` notifications have been received for a transaction."""
        async with self._arrival:
            await self._arrival.wait_for(lambda: self._counts[id] > count)


@asynccontextmanager
async def webhook_receiver(
    timeline: Timeline,
    bind: str = "127.0.0.1",
    host: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[WebhookReceiver]:
    """Serve on a free port of `bind` for as long as the context lasts; senders use `host`."""
    loop = asyncio.get_running_loop()
    receiver: WebhookReceiver

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = min(int(self.headers.get("Content-Length", 0)), _MAX_BODY_BYTES)
            body = json.loads(self.rfile.read(length))
            asyncio.run_coroutine_threadsafe(receiver.receive(body), loop)
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - name of the base
            """Log nothing: the timeline shows the request."""

    with ThreadingHTTPServer((bind, 0), Handler) as server:
        scheme = "http"
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
            scheme = "https"
        receiver = WebhookReceiver(f"{scheme}://{host}:{server.server_port}/hooks/psp", timeline)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
        thread.start()
        try:
            yield receiver
        finally:
            await asyncio.to_thread(server.shutdown)
            thread.join()
