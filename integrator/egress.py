"""Protection of outbound connections against server-side request forgery (SSRF).

Webhook targets come from requests, PSP addresses from configuration; either may resolve, now or
later, to an address inside the network this runs in. Names are therefore resolved here, and the
connection goes to exactly the address that was checked, so that DNS rebinding has no effect.
"""

import asyncio
import logging
import socket
from collections.abc import Iterable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import httpcore
import httpx

from integrator.hanging_hosts import HangingHostLimit
from integrator.settings import Settings

Address = IPv4Address | IPv6Address
SocketOptions = Iterable[
    tuple[int, int, int] | tuple[int, int, bytes | bytearray] | tuple[int, int, None, int]
]

CONNECTIONS = httpx.Limits(max_connections=200, max_keepalive_connections=50, keepalive_expiry=30.0)


log = logging.getLogger(__name__)


class Guard:
    """Allowed addresses: public ones, and the configured networks.

    In development loopback is allowed, too. `plain_http`: whether HTTP without TLS is allowed; in
    production only if networks are configured, for targets inside them.
    """

    def __init__(self, settings: Settings) -> None:
        self._allowed_networks = [ip_network(network) for network in settings.outbound_networks]
        self._loopback = settings.profile == "development"
        self.plain_http = self._loopback or bool(self._allowed_networks)

    def allows(self, address: Address) -> bool:
        """Return whether connections to this address are allowed."""
        address = getattr(address, "ipv4_mapped", None) or address
        if any(address in network for network in self._allowed_networks):
            return True
        if address.is_loopback:
            return self._loopback
        return address.is_global and not address.is_multicast


class GuardedBackend(httpcore.AsyncNetworkBackend):
    """Network backend that connects to allowed addresses only."""

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
        allowed = [a for a in await _resolve(host, port, timeout) if self._guard.allows(a)]
        failure: Exception = httpcore.ConnectError("the host has no allowed address")
        for address in allowed:
            remaining = None if deadline is None else deadline - asyncio.get_running_loop().time()
            if remaining is not None and remaining <= 0:
                raise httpcore.ConnectTimeout
            try:
                return await self._backend.connect_tcp(
                    str(address), port, remaining, local_address, socket_options
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
        """Raise `httpcore.ConnectError`: Unix sockets are never allowed."""
        raise httpcore.ConnectError("connections to Unix sockets are not allowed")

    async def sleep(self, seconds: float) -> None:
        """Sleep, as the wrapped backend does."""
        await self._backend.sleep(seconds)


class GuardedTransport(httpx.AsyncHTTPTransport):
    """HTTP transport with the guarded backend; ignores proxies of the environment."""

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
        """Send the request; raises `httpx.ConnectError` for plain HTTP where it is not allowed."""
        if request.url.scheme != "https" and not self._plain_http:
            raise httpx.ConnectError("plain HTTP is not allowed", request=request)
        return await super().handle_async_request(request)


def outbound_client(
    settings: Settings, timeout: httpx.Timeout, *, limit_hanging_hosts: bool = False
) -> httpx.AsyncClient:
    """Create a client for PSPs or webhook targets, without redirects and cookies.

    All merchants of the process would share the cookies. `limit_hanging_hosts`: whether a host that
    does not respond gets few requests at once.
    """
    if settings.profile == "development":
        log.warning("development profile: connections to loopback addresses are allowed")
    no_cookies = CookieJar(DefaultCookiePolicy(allowed_domains=[]))
    transport: httpx.AsyncBaseTransport = GuardedTransport(Guard(settings))
    if limit_hanging_hosts:
        transport = HangingHostLimit(transport)
    return httpx.AsyncClient(
        transport=transport,
        timeout=timeout,
        follow_redirects=False,
        cookies=no_cookies,
    )


async def _resolve(host: str, port: int, timeout: float | None) -> list[Address]:
    loop = asyncio.get_running_loop()
    lookup = loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    try:
        entries = await asyncio.wait_for(lookup, timeout)
    except TimeoutError:
        raise httpcore.ConnectTimeout from None
    except (OSError, UnicodeError):
        raise httpcore.ConnectError("the host's name cannot be resolved") from None
    return [ip_address(str(entry[4][0]).partition("%")[0]) for entry in entries]
