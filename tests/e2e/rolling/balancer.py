"""Round-robin load balancer for API instances that drains them before removal."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler

import httpx

from tests.support.http_server import HttpServer

HOP_BY_HOP = {"connection", "content-length", "host", "transfer-encoding"}


@dataclass(frozen=True)
class Call:
    """One request, `at` on the wall clock; `status` None if it got no response."""

    at: float
    seconds: float
    method: str
    path: str
    status: int | None

    @property
    def failed(self) -> bool:
        """Whether the caller has to repeat the request."""
        return self.status is None or self.status >= httpx.codes.INTERNAL_SERVER_ERROR


class Balancer(httpx.BaseTransport):
    """Forwards requests to the instances in turn; to the next if a connection is refused.

    `calls` are the results of the requests. Thread-safe.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._instances: dict[str, httpx.HTTPTransport] = {}
        self._busy: Counter[str] = Counter()
        self._request_count = 0
        self._changed = threading.Condition()

    def add(self, url: str) -> None:
        """Add an instance."""
        with self._changed:
            self._instances[url] = httpx.HTTPTransport()

    def drain(self, url: str) -> None:
        """Remove an instance and wait until its requests have ended."""
        with self._changed:
            transport = self._instances.pop(url)
            assert self._changed.wait_for(lambda: not self._busy[url], 30), f"{url} is still busy"
        transport.close()

    def close(self) -> None:
        """Close all connections."""
        with self._changed:
            for transport in self._instances.values():
                transport.close()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Forward a request; raises `httpx.TransportError` if no instance responds."""
        began, at = time.monotonic(), time.time()
        status = None
        try:
            response = self._forward(request)
            status = response.status_code
        finally:
            seconds = time.monotonic() - began
            self.calls.append(Call(at, seconds, request.method, request.url.path, status))
        return response

    def _forward(self, request: httpx.Request) -> httpx.Response:
        for _ in range(len(self._instances)):
            with self._next_instance() as (url, transport):
                request.url = request.url.copy_with(host=url.host, port=url.port)
                try:
                    response = transport.handle_request(request)
                    body = b"".join(response.iter_raw())
                except httpx.ConnectError:
                    continue
            return httpx.Response(response.status_code, headers=response.headers, content=body)
        raise httpx.ConnectError("No instance accepts connections.", request=request)

    @contextmanager
    def _next_instance(self) -> Iterator[tuple[httpx.URL, httpx.HTTPTransport]]:
        with self._changed:
            self._request_count += 1
            url = list(self._instances)[self._request_count % len(self._instances)]
            transport = self._instances[url]
            self._busy[url] += 1
        try:
            yield httpx.URL(url), transport
        finally:
            with self._changed:
                self._busy[url] -= 1
                self._changed.notify_all()


class BalancerServer(HttpServer):
    """HTTP server in front of the balancer, for the PSP's notifications."""

    def __init__(self, balancer: Balancer) -> None:
        self._client = httpx.Client(transport=balancer, base_url="http://integrator")
        super().__init__()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        client = self._client

        class ForwardingHandler(BaseHTTPRequestHandler):
            def _forward(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP_BY_HOP}
                try:
                    answer = client.request(
                        self.command, self.path, headers=headers, content=content
                    )
                except httpx.TransportError:
                    self.send_error(502)
                    return
                self.send_response(answer.status_code)
                self.send_header("Content-Type", answer.headers.get("Content-Type", "text/plain"))
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            def do_GET(self) -> None:
                self._forward()

            def do_POST(self) -> None:
                self._forward()

            def do_PUT(self) -> None:
                self._forward()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Log nothing."""

        return ForwardingHandler
