"""What stands in front of the API's instances: a round robin that drains before it lets go."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler

import httpx

from tests.support.serving import Serving

NOT_PASSED_ON = {"connection", "content-length", "host", "transfer-encoding"}


@dataclass(frozen=True)
class Call:
    """One request, `at` on the wall clock; `status` None for one that nobody answered."""

    at: float
    seconds: float
    method: str
    path: str
    status: int | None

    @property
    def failed(self) -> bool:
        """Whether its caller has to repeat it."""
        return self.status is None or self.status >= httpx.codes.INTERNAL_SERVER_ERROR


class Balancer(httpx.BaseTransport):
    """Asks one instance after the other; the next one only where a connection is refused.

    `calls` is what came of each request. Threads may share it.
    """

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._instances: dict[str, httpx.HTTPTransport] = {}
        self._busy: Counter[str] = Counter()
        self._turn = 0
        self._news = threading.Condition()

    def add(self, url: str) -> None:
        """Give the instance its share from now on."""
        with self._news:
            self._instances[url] = httpx.HTTPTransport()

    def drain(self, url: str) -> None:
        """Send it nothing more and wait until it has answered everything."""
        with self._news:
            transport = self._instances.pop(url)
            assert self._news.wait_for(lambda: not self._busy[url], 30), f"{url} is still busy"
        transport.close()

    def end(self) -> None:
        """Let go of all connections."""
        with self._news:
            for transport in self._instances.values():
                transport.close()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """As a transport does; raises `httpx.TransportError` when nobody answers."""
        began, at = time.monotonic(), time.time()
        status = None
        try:
            response = self._answered(request)
            status = response.status_code
        finally:
            seconds = time.monotonic() - began
            self.calls.append(Call(at, seconds, request.method, request.url.path, status))
        return response

    def _answered(self, request: httpx.Request) -> httpx.Response:
        for _ in range(len(self._instances)):
            with self._next() as (url, transport):
                request.url = request.url.copy_with(host=url.host, port=url.port)
                try:
                    response = transport.handle_request(request)
                    body = b"".join(response.iter_raw())
                except httpx.ConnectError:
                    continue
            return httpx.Response(response.status_code, headers=response.headers, content=body)
        raise httpx.ConnectError("No instance accepts connections.", request=request)

    @contextmanager
    def _next(self) -> Iterator[tuple[httpx.URL, httpx.HTTPTransport]]:
        with self._news:
            self._turn += 1
            url = list(self._instances)[self._turn % len(self._instances)]
            transport = self._instances[url]
            self._busy[url] += 1
        try:
            yield httpx.URL(url), transport
        finally:
            with self._news:
                self._busy[url] -= 1
                self._news.notify_all()


class Door(Serving):
    """The balancer as a server of its own, for the PSP's notifications."""

    def __init__(self, balancer: Balancer) -> None:
        self._client = httpx.Client(transport=balancer, base_url="http://integrator")
        super().__init__()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        client = self._client

        class Passing(BaseHTTPRequestHandler):
            def _pass_on(self) -> None:
                content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {k: v for k, v in self.headers.items() if k.lower() not in NOT_PASSED_ON}
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
                self._pass_on()

            def do_POST(self) -> None:
                self._pass_on()

            def do_PUT(self) -> None:
                self._pass_on()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Quiet."""

        return Passing
