"""The platform's webhook address: a small server on loopback that keeps what it receives."""

import asyncio
import json
import threading
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from devtools.devstack.demo.billing_client import NAME
from devtools.devstack.demo.timeline import Timeline

_LARGEST = 65_536
_KINDS = {"1": "Preauth", "2": "Payment", "3": "Refund"}


class Webhooks:
    """The change notifications received so far. All methods belong to the event loop."""

    def __init__(self, url: str, timeline: Timeline) -> None:
        self.url = url
        self._timeline = timeline
        self._counts: dict[str, int] = defaultdict(int)
        self._arrival = asyncio.Condition()

    async def receive(self, body: dict[str, Any]) -> None:
        """Take one notification, in either of its spellings."""
        members = {name.lower(): value for name, value in body.items()}
        id = str(members.get("transactionid"))
        kind = str(members.get("type"))
        request = f"webhook {_KINDS.get(kind, kind)} {id[:12]}…"
        self._timeline.exchange("Integrator", NAME, request, "received", good=True)
        async with self._arrival:
            self._counts[id] += 1
            self._arrival.notify_all()

    def count(self, id: str) -> int:
        """How many notifications of this transaction have come."""
        return self._counts[id]

    async def wait_for_more(self, id: str, than: int) -> None:
        """Return when more than so many notifications of this transaction have come."""
        async with self._arrival:
            await self._arrival.wait_for(lambda: self._counts[id] > than)


@asynccontextmanager
async def receiving(timeline: Timeline) -> AsyncIterator[Webhooks]:
    """A server on a free port of loopback, for as long as the context lasts."""
    loop = asyncio.get_running_loop()
    inbox: Webhooks

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = min(int(self.headers.get("Content-Length", 0)), _LARGEST)
            body = json.loads(self.rfile.read(length))
            asyncio.run_coroutine_threadsafe(inbox.receive(body), loop)
            self.send_response(204)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - name of the base
            """The timeline tells it better."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        inbox = Webhooks(f"http://127.0.0.1:{server.server_port}/hooks/psp", timeline)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
        thread.start()
        try:
            yield inbox
        finally:
            await asyncio.to_thread(server.shutdown)
            thread.join()
