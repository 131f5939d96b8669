"""Outbound connections: addresses are checked when connecting."""

import asyncio
import socket
from collections.abc import AsyncIterator
from ipaddress import ip_address
from typing import Any

import httpx
import pytest
from pydantic import SecretStr, ValidationError

from integrator.crypto.keys import generate_key
from integrator.egress import Guard, outbound_client
from integrator.settings import Settings

TIMEOUT = httpx.Timeout(5.0)


def production(**options: Any) -> Settings:
    return Settings(profile="production", keys=SecretStr(f"k1:{generate_key()}"), **options)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "::1",
        "0.0.0.0",  # noqa: S104 - connected to, never bound to
        "10.0.0.1",
        "172.17.0.2",
        "192.168.1.1",
        "169.254.169.254",  # cloud metadata
        "fe80::1",
        "fd00::1",
        "100.64.0.1",
        "224.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "192.0.2.1",
    ],
)
def test_production_allows_no_internal_address(address: str) -> None:
    assert not Guard(production()).allows(ip_address(address))


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"])
def test_production_allows_public_addresses(address: str) -> None:
    assert Guard(production()).allows(ip_address(address))


def test_development_allows_loopback_only() -> None:
    guard = Guard(Settings())
    assert guard.allows(ip_address("127.0.0.1"))
    assert guard.allows(ip_address("::1"))
    for internal in ("10.0.0.1", "169.254.169.254", "0.0.0.0"):  # noqa: S104 - as above
        assert not guard.allows(ip_address(internal))


def test_configured_networks_are_allowed() -> None:
    guard = Guard(production(outbound_networks="10.1.0.0/16, fd00:1::/32"))
    assert guard.allows(ip_address("10.1.2.3"))
    assert guard.allows(ip_address("::ffff:10.1.2.3"))
    assert guard.allows(ip_address("fd00:1::7"))
    assert not guard.allows(ip_address("10.2.0.1"))
    with pytest.raises(ValidationError):
        production(outbound_networks="10.1.0.0/99")


@pytest.fixture
async def server() -> AsyncIterator[int]:
    """Run a server that responds with a redirect and a cookie; yields its port."""
    seen: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(head)
        cookie = b"yes" if b"ookie:" in head else b"no"
        writer.write(
            b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nSet-Cookie: id=1\r\n"
            b"Content-Length: 3\r\nConnection: close\r\n\r\n" + cookie.ljust(3)
        )
        await writer.drain()
        writer.close()

    running = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with running:
        yield running.sockets[0].getsockname()[1]


async def test_a_name_that_resolves_to_an_internal_address_is_rejected(
    server: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address that is checked is the one that is connected to."""
    resolved: list[str] = []

    async def resolve(host: str, port: int, **_: object) -> list[Any]:
        resolved.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    settings = production(outbound_networks="10.0.0.0/8")
    async with outbound_client(settings, TIMEOUT) as client:
        with pytest.raises(httpx.ConnectError, match="no allowed address"):
            await client.post(f"http://hooks.example:{server}/", content=b"x")
    async with outbound_client(Settings(), TIMEOUT) as client:
        assert (await client.post(f"http://hooks.example:{server}/")).status_code == 302
    assert resolved == ["hooks.example", "hooks.example"]


async def test_production_rejects_plain_http(server: int) -> None:
    async with outbound_client(production(), TIMEOUT) as client:
        with pytest.raises(httpx.ConnectError, match="plain HTTP"):
            await client.get("http://psp.example/v1/charges")


async def test_redirects_and_cookies_are_not_followed(server: int) -> None:
    async with outbound_client(Settings(), TIMEOUT) as client:
        for _ in range(2):
            response = await client.get(f"http://127.0.0.1:{server}/")
            assert (response.status_code, response.text.strip()) == (302, "no")


async def test_an_unknown_name_is_a_connection_error(monkeypatch: pytest.MonkeyPatch) -> None:
    async def resolve(*_: object, **__: object) -> list[Any]:
        raise socket.gaierror

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    async with outbound_client(Settings(), TIMEOUT) as client:
        with pytest.raises(httpx.ConnectError, match="cannot be resolved"):
            await client.get("http://nowhere.example/")


async def test_proxies_of_the_environment_are_ignored(
    server: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    async with outbound_client(Settings(), TIMEOUT) as client:
        assert (await client.get(f"http://127.0.0.1:{server}/")).status_code == 302
