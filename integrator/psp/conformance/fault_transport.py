"""The way to the PSP, on which every request is seen and things can be made to go wrong.

The faults are those a real network and a real PSP have: a request that never arrives, an answer
that never comes back although the request took effect, and answers that are not the PSP's.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from integrator.psp.conformance.harness import PspAnswer

Forward = Callable[[httpx.Request], Awaitable[httpx.Response]]
Effect = Callable[[httpx.Request, Forward], Awaitable[httpx.Response]]

_OF_THE_BODY = ("content-encoding", "content-length", "transfer-encoding")


@dataclass
class Fault:
    """What goes wrong, and for which requests.

    It strikes `times` requests whose path holds `at`, after letting `skip` of them pass; `writes`
    limits it to requests that are no GET.
    """

    effect: Effect
    writes: bool = True
    at: str = ""
    skip: int = 0
    times: int = 1
    struck: int = 0

    def strikes(self, request: httpx.Request) -> bool:
        """Whether this request is hit; counts it."""
        if (self.writes and is_read(request)) or self.at not in request.url.path:
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        hit = self.struck < self.times
        self.struck += hit
        return hit


class Wire(httpx.AsyncBaseTransport):
    """A transport in front of another one; `seen` are the requests the adapter made, in order."""

    def __init__(self, inner: httpx.AsyncBaseTransport) -> None:
        self._inner = inner
        self._faults: list[Fault] = []
        self.seen: list[httpx.Request] = []

    @property
    def writes(self) -> list[httpx.Request]:
        """The requests that are no GET."""
        return [request for request in self.seen if not is_read(request)]

    @contextmanager
    def failing(self, fault: Fault) -> Iterator[Fault]:
        """Have the fault in force."""
        self._faults.append(fault)
        try:
            yield fault
        finally:
            self._faults.remove(fault)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Note the request, then forward it or let the first fault that strikes have it."""
        await request.aread()
        self.seen.append(request)
        for fault in self._faults:
            if fault.strikes(request):
                return await fault.effect(request, self._forward)
        return await self._forward(request)

    async def _forward(self, request: httpx.Request) -> httpx.Response:
        """The answer, read to its end: what comes after it cannot be stopped half-way any more."""
        response = await self._inner.handle_async_request(request)
        try:
            body = b"".join([part async for part in _raw(response)])
        finally:
            await response.aclose()
        return httpx.Response(
            response.status_code,
            headers=response.headers,
            stream=httpx.ByteStream(body),
            request=request,
        )


async def _raw(response: httpx.Response) -> AsyncIterator[bytes]:
    assert isinstance(response.stream, httpx.AsyncByteStream)  # noqa: S101 - narrows the type
    async for part in response.stream:
        yield part


def is_read(request: httpx.Request) -> bool:
    """Whether the request cannot change anything."""
    return request.method in ("GET", "HEAD")


def unreachable() -> Effect:
    """The connection is refused: the request surely did not arrive."""
    return _raising(httpx.ConnectError, forward=False)


def lost(*, after_booking: bool) -> Effect:
    """The connection is reset instead of an answer."""
    return _raising(httpx.ReadError, forward=after_booking)


def late(*, after_booking: bool) -> Effect:
    """No answer in time."""
    return _raising(httpx.ReadTimeout, forward=after_booking)


def answering(answer: PspAnswer, *, after_booking: bool = False) -> Effect:
    """Somebody answers this, whether the request has had its effect or not."""

    async def effect(request: httpx.Request, forward: Forward) -> httpx.Response:
        if after_booking:
            await forward(request)
        return httpx.Response(
            answer.status, headers=dict(answer.headers), content=answer.body, request=request
        )

    return effect


def mangled(change: Callable[[bytes], bytes]) -> Effect:
    """The request has its effect; the answer's body is changed on the way back."""

    async def effect(request: httpx.Request, forward: Forward) -> httpx.Response:
        response = await forward(request)
        body = await response.aread()
        headers = [(k, v) for k, v in response.headers.items() if k not in _OF_THE_BODY]
        return httpx.Response(
            response.status_code, headers=headers, content=change(body), request=request
        )

    return effect


def asking_for(wanted: str, instead_of: str) -> Effect:
    """The PSP is asked for another reference than the adapter meant: it answers about that one."""

    async def effect(request: httpx.Request, forward: Forward) -> httpx.Response:
        url = httpx.URL(str(request.url).replace(instead_of, wanted))
        headers = [(k, v) for k, v in request.headers.items() if k not in _OF_THE_BODY]
        body = request.content.replace(instead_of.encode(), wanted.encode())
        return await forward(httpx.Request(request.method, url, headers=headers, content=body))

    return effect


def html(status: int, **headers: str) -> PspAnswer:
    """A page of a proxy, a firewall or a maintenance window, as none of them knows the PSP."""
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    page = f"<html><head><title>{status}</title></head><body>Please try again later.</body></html>"
    return PspAnswer(status, page.encode(), {"Content-Type": "text/html", **named})


def _raising(error: type[httpx.TransportError], *, forward: bool) -> Effect:
    async def effect(request: httpx.Request, forwarded: Forward) -> httpx.Response:
        if forward:
            await forwarded(request)
        raise error("made by the kit", request=request)

    return effect
