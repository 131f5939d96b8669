"""HTTP clients for names below `localhost`, which browsers and curl resolve to this machine."""

import ssl
from typing import Any

import httpcore
import httpx


def _local(host: str) -> str:
    return "127.0.0.1" if host.endswith(".localhost") else host


class _AsyncBackend(httpcore.AnyIOBackend):
    async def connect_tcp(self, host: str, *args: Any, **options: Any) -> Any:
        return await super().connect_tcp(_local(host), *args, **options)


class _Backend(httpcore.SyncBackend):
    def connect_tcp(self, host: str, *args: Any, **options: Any) -> Any:
        return super().connect_tcp(_local(host), *args, **options)


class _AsyncTransport(httpx.AsyncHTTPTransport):
    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(verify=context, trust_env=False)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=context, max_connections=100, network_backend=_AsyncBackend()
        )


class _Transport(httpx.HTTPTransport):
    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(verify=context, trust_env=False)
        self._pool = httpcore.ConnectionPool(
            ssl_context=context, max_connections=100, network_backend=_Backend()
        )


def async_client(context: ssl.SSLContext, **options: Any) -> httpx.AsyncClient:
    """Create an asynchronous client that trusts the authorities of `context`."""
    return httpx.AsyncClient(transport=_AsyncTransport(context), timeout=30, **options)


def client(context: ssl.SSLContext, **options: Any) -> httpx.Client:
    """Create a client that trusts the authorities of `context`."""
    return httpx.Client(transport=_Transport(context), timeout=30, **options)
