"""The way out: to whom this system connects on behalf of others, decided when it connects.

Webhook targets come from requests, PSP addresses from configuration; either may name, or come to
name, an address inside the network this runs in. Names are therefore resolved here, and exactly
the address that was judged is connected to, so that a second answer of the DNS changes nothing.
"""

import asyncio
import logging
import socket
from collections.abc import Iterable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpcore
import httpx

from integrator.settings import Settings

Address = IPv4Address | IPv6Address
SocketOptions = Iterable[
    tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]
]

CONNECTIONS = httpx.Limits(max_connections=200, max_keepalive_connections=50, keepalive_expiry=30.0)


log = logging.getLogger(__name__)


class Guard:
    """Which addresses may be connected to: public ones, and networks that were opened.

    In development loopback is open, too. `plain_http`: whether HTTP without TLS is used at all; in
    production only once a network was opened, for what is inside it.
    """

    def __init__(self, settings: Settings) -> None:
        self._open = [ip_network(network) for network in settings.outbound_networks]
        self._loopback = settings.profile == "development"
        self.plain_http = self._loopback or bool(self._open)

    def allows(self, address: Address) -> bool:
        """Whether this address may be connected to."""
        address = getattr(address, "ipv4_mapped", None) or address
        if any(address in network for network in self._open):
            return True
        if address.is_loopback:
            return self._loopback
        return address.is_global and not address.is_multicast


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Connects to what the guard allows."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: SocketOptions | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Try the allowed addresses of `host` in turn; raises `httpcore.ConnectError`."""
        deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
        allowed = [a for a in await _resolved(host, port, timeout) if self._guard.allows(a)]
        failure: Exception = httpcore.ConnectError("the host is on no allowed address")
        for address in allowed:
            left = None if deadline is None else deadline - asyncio.get_running_loop().time()
            if left is not None and left <= 0:
                raise httpcore.ConnectTimeout
            try:
                return await self._backend.connect_tcp(
                    str(address), port, left, local_address, socket_options
                )
            except httpcore.ConnectError as error:
                failure = error
        raise failure

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: SocketOptions | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Never."""
        raise httpcore.ConnectError("sockets of this machine are not connected to")

    async def sleep(self, seconds: float) -> None:
        """As the library does."""
        await self._backend.sleep(seconds)


class GuardedTransport(httpx.AsyncHTTPTransport):
    """HTTP through a guarded backend. Proxies of the environment have no part in it."""

    def __init__(self, guard: Guard) -> None:
        super().__init__(trust_env=False)
        self._plain_http = guard.plain_http
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(),
            max_connections=CONNECTIONS.max_connections,
            max_keepalive_connections=CONNECTIONS.max_keepalive_connections,
            keepalive_expiry=CONNECTIONS.keepalive_expiry,
            network_backend=GuardedBackend(guard),
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it; raises `httpx.ConnectError` for plain HTTP where that is not used."""
        if request.url.scheme != "https" and not self._plain_http:
            raise httpx.ConnectError("plain HTTP is not used here", request=request)
        return await super().handle_async_request(request)


def outbound_client(settings: Settings, timeout: httpx.Timeout) -> httpx.AsyncClient:
    """A client for PSPs or webhook targets: guarded, without redirects and without memory.

    Cookies would be shared by all merchants of the process.
    """
    if settings.profile == "development":
        log.warning("development profile: loopback addresses may be connected to")
    forgetful = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    return httpx.AsyncClient(
        transport=GuardedTransport(Guard(settings)),
        timeout=timeout,
        follow_redirects=False,
        cookies=forgetful,
    )


async def _resolved(host: str, port: int, timeout: float | None) -> list[Address]:
    loop = asyncio.get_running_loop()
    lookup = loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    try:
        found = await asyncio.wait_for(lookup, timeout)
    except TimeoutError:
        raise httpcore.ConnectTimeout from None
    except (OSError, UnicodeError):
        raise httpcore.ConnectError("the host's name cannot be resolved") from None
    return [ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
