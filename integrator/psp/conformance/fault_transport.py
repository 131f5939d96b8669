"""A transport to the PSP that records every request and can inject faults.

The faults are those of real networks and real PSPs: a request that never arrives, a response
that is lost although the request took effect, and responses that are not the PSP's.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from integrator.psp.conformance.harness import StubResponse

Forward = Callable[[httpx.Request], Awaitable[httpx.Response]]
Effect = Callable[[httpx.Request, Forward], Awaitable[httpx.Response]]

_BODY_HEADERS = ("content-encoding", "content-length", "transfer-encoding")


@dataclass
class Fault:
    """An effect and the requests it applies to.

    It applies to `times` requests whose path contains `path_part`, after letting `skip` of them
    pass; `writes_only` limits it to requests other than GET and HEAD. `hits` counts.
    """

    effect: Effect
    writes_only: bool = True
    path_part: str = ""
    skip: int = 0
    times: int = 1
    hits: int = 0

    def triggers_on(self, request: httpx.Request) -> bool:
        """Return whether the fault applies to this request, and count the hit."""
        if (self.writes_only and is_read(request)) or self.path_part not in request.url.path:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        triggered = self.hits < self.times
        self.hits += triggered
        return triggered


class FaultTransport(httpx.AsyncBaseTransport):
    """A transport in front of another one; `requests` are the adapter's requests, in order."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self._faults: list[Fault] = []
        self.requests: list[httpx.Request] = []

    @property
    def write_requests(self) -> list[httpx.Request]:
        """Return the requests other than GET and HEAD."""
        return [request for request in self.requests if not is_read(request)]

    @contextmanager
    def inject(self, fault: Fault) -> Iterator[Fault]:
        """Apply the fault while the context is open."""
        self._faults.append(fault)
        try:
            yield fault
        finally:
            self._faults.remove(fault)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Record the request, then apply the first matching fault or forward the request."""
        await request.aread()
        self.requests.append(request)
        for fault in self._faults:
            if fault.triggers_on(request):
                return await fault.effect(request, self._forward)
        return await self._forward(request)

    async def _forward(self, request: httpx.Request) -> httpx.Response:
        """Forward the request and read the whole response.

        A body that is read in full cannot be interrupted half-way afterwards.
        """
        response = await self._inner.handle_async_request(request)
        try:
            body = b"".join([part async for part in _stream(response)])
        finally:
            await response.aclose()
        return httpx.Response(
            response.status_code,
            headers=response.headers,
            stream=httpx.ByteStream(body),
            request=request,
        )


async def _stream(response: httpx.Response) -> AsyncIterator[bytes]:
    assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 - narrows the type
    async for part in response.stream:
        yield part


def is_read(request: httpx.Request) -> bool:
    """Return whether the request cannot change anything."""
    return request.method in ("GET", "HEAD")


def connection_refused() -> Effect:
    """Refuse the connection: the request has not arrived."""
    return _raise_after(httpx.ConnectError, forward=False)


def connection_reset(*, after_booking: bool) -> Effect:
    """Reset the connection instead of responding."""
    return _raise_after(httpx.ReadError, forward=after_booking)


def timeout(*, after_booking: bool) -> Effect:
    """Let the response time out."""
    return _raise_after(httpx.ReadTimeout, forward=after_booking)


def respond_with(response: StubResponse, *, after_booking: bool = False) -> Effect:
    """Respond with this, before or after the request has taken effect."""

    async def effect(request: httpx.Request, forward: Forward) -> httpx.Response:
        if after_booking:
            await forward(request)
        return httpx.Response(
            response.status, headers=dict(response.headers), content=response.body, request=request
        )

    return effect


def fail_first_key(response: StubResponse) -> Effect:
    """Respond with this to every request with the first key seen, as if stored under the key."""
    first_key: list[str | None] = []

    async def effect(request: httpx.Request, forward: Forward) -> httpx.Response:
        key = request.headers.get("Idempotency-Key")
        first_key[:] = first_key or [key]
        if key != first_key[0]:
            return await forward(request)
        return await respond_with(response)(request, forward)

    return effect


def alter_response(change: Callable[[bytes], bytes]) -> Effect:
    """Let the request take effect and change the body of its response."""

    async def effect(request: httpx.Request, forward: Forward) -> httpx.Response:
        response = await forward(request)
        body = await response.aread()
        headers = [(k, v) for k, v in response.headers.items() if k not in _BODY_HEADERS]
        return httpx.Response(
            response.status_code, headers=headers, content=change(body), request=request
        )

    return effect


def replace_reference(new: str, old: str) -> Effect:
    """Ask the PSP for another reference than the adapter did: it responds about that one."""

    async def effect(request: httpx.Request, forward: Forward) -> httpx.Response:
        url = httpx.URL(str(request.url).replace(old, new))
        headers = [(k, v) for k, v in request.headers.items() if k not in _BODY_HEADERS]
        body = request.content.replace(old.encode(), new.encode())
        return await forward(httpx.Request(request.method, url, headers=headers, content=body))

    return effect


def html_page(status: int, **headers: str) -> StubResponse:
    """Return the page of a proxy, a firewall or a maintenance window, none of which is the PSP."""
    header_fields = {name.replace("_", "-"): text for name, text in headers.items()}
    page = f"<html><head><title>{status}</title></head><body>Please try again later.</body></html>"
    return StubResponse(status, page.encode(), {"Content-Type": "text/html", **header_fields})


def _raise_after(error: type[httpx.TransportError], *, forward: bool) -> Effect:
    async def effect(request: httpx.Request, forward_request: Forward) -> httpx.Response:
        if forward:
            await forward_request(request)
        raise error("injected by the conformance kit", request=request)

    return effect
