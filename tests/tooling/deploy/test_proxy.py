"""Configuration of the proxy, with a real Caddy in front of real API processes."""

import asyncio
import itertools
import os
import shutil
import signal
import socketserver
import struct
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import httpx
import pytest

from devtools.campaign.stack import free_ports
from integrator.store.migrate import upgrade
from tests.support.paths import ROOT

CADDYFILE = ROOT / "deploy/caddy/Caddyfile"
CADDY = shutil.which("caddy")
REPLICAS = ("127.0.0.2", "127.0.0.3")
DRAIN_SECONDS = 0.5
CALLERS = 4
FORM = {"grant_type": "client_credentials"}

pytestmark = [
    pytest.mark.skipif(CADDY is None, reason="caddy is not installed"),
    pytest.mark.skipif(sys.platform != "linux", reason="this machine has one loopback address"),
]


class NameServer(socketserver.BaseRequestHandler):
    """DNS server that resolves every name to the replicas (RFC 1035, section 4).

    The order changes with every query, as with Docker's DNS server.
    """

    queries = itertools.count()

    def handle(self) -> None:
        data, socket = self.request
        end = data.index(b"\0", 12) + 5
        (kind,) = struct.unpack(">H", data[end - 4 : end - 2])
        addresses = REPLICAS[:: (-1) ** next(self.queries)] if kind == 1 else ()
        head = data[:2] + struct.pack(">HHHHH", 0x8180, 1, len(addresses), 0, 0)
        records = [
            b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 1, 4) + bytes(map(int, address.split(".")))
            for address in addresses
        ]
        socket.sendto(head + data[12:end] + b"".join(records), self.client_address)


@pytest.fixture
def name_server() -> Iterator[str]:
    with socketserver.ThreadingUDPServer(("127.0.0.1", 0), NameServer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"udp/127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def with_test_ports(http: int, https: int, health: int, metrics: int, name_server: str) -> str:
    """Return the configuration with unprivileged ports and the test's name server."""
    text = CADDYFILE.read_text()
    for old, new in (
        ("admin off", f"admin off\n\thttp_port {http}\n\thttps_port {https}"),
        ("127.0.0.1:2015", f"127.0.0.1:{health}"),
        ("http://:2016", f"http://:{metrics}"),
        ("keepalive off", f"keepalive off\n\t\t\tresolvers {name_server}"),
    ):
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


@asynccontextmanager
async def run_process(
    *argv: str, log: Path, env: dict[str, str]
) -> AsyncIterator[asyncio.subprocess.Process]:
    with log.open("wb") as stream:
        process = await asyncio.create_subprocess_exec(
            *argv, cwd=ROOT, env=env, stdout=stream, stderr=stream
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def wait_for_response(url: str) -> None:
    async with asyncio.timeout(40), httpx.AsyncClient(verify=False) as client:  # noqa: S501
        while True:
            try:
                await client.get(url)
                return
            except httpx.TransportError:
                await asyncio.sleep(0.05)


async def call_repeatedly(url: str, statuses: Counter[int], stop: asyncio.Event) -> None:
    """POST repeatedly over one connection; a proxy must not retry a POST."""
    async with httpx.AsyncClient(verify=False, timeout=20) as client:  # noqa: S501
        while not stop.is_set():
            statuses[(await client.post(f"{url}/oauth/token", data=FORM)).status_code] += 1


def count_served(folder: Path) -> list[int]:
    """Return the number of requests in each replica's log."""
    logs = [(folder / f"{address}.log").read_text() for address in REPLICAS]
    return [log.count("/oauth/token") for log in logs]


async def test_stopping_a_replica_loses_no_request(tmp_path: Path, name_server: str) -> None:
    """Neither while it drains, nor when it has stopped and DNS still returns its address."""
    assert CADDY is not None
    port, http, https, health, metrics = free_ports(5)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("INTEGRATOR_", "XDG_"))}
    caddyfile = tmp_path / "Caddyfile"
    caddyfile.write_text(with_test_ports(http, https, health, metrics, name_server))
    url = f"https://localhost:{https}"
    async with AsyncExitStack() as stack:
        replicas = []
        for address in REPLICAS:
            await upgrade(f"sqlite+aiosqlite:///{tmp_path / address / 'integrator.db'}")
            env = clean | {
                "INTEGRATOR_DATA_DIR": str(tmp_path / address),
                "INTEGRATOR_BIND": address,
                "INTEGRATOR_API_PORT": str(port),
                "INTEGRATOR_DRAIN_SECONDS": str(DRAIN_SECONDS),
                "INTEGRATOR_RATE_LIMIT_UNAUTHENTICATED": "100000/second",
            }
            api = run_process(sys.executable, "-m", "api", log=tmp_path / f"{address}.log", env=env)
            replicas.append(await stack.enter_async_context(api))
        env = clean | {
            "HOME": str(tmp_path),
            "INTEGRATOR_PUBLIC_URL": "https://localhost",
            "INTEGRATOR_UPSTREAM": f"api.test:{port}",
        }
        argv = (CADDY, "run", "--adapter", "caddyfile", "--config", str(caddyfile))
        await stack.enter_async_context(run_process(*argv, log=tmp_path / "caddy.log", env=env))
        for address in REPLICAS:
            await wait_for_response(f"http://{address}:{port}/healthz")
        await wait_for_response(f"{url}/healthz")

        statuses: Counter[int] = Counter()
        stop = asyncio.Event()
        callers = [
            asyncio.create_task(call_repeatedly(url, statuses, stop)) for _ in range(CALLERS)
        ]
        await asyncio.sleep(0.5)
        replicas[0].send_signal(signal.SIGTERM)
        async with asyncio.timeout(20):
            assert await replicas[0].wait() == 0
        await asyncio.sleep(1)
        stop.set()
        await asyncio.gather(*callers)
        assert set(statuses) == {401}
        # A line is logged after its response was sent.
        async with asyncio.timeout(10):
            while sum(served := count_served(tmp_path)) < statuses[401]:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert sum(served) == statuses[401]
        assert min(served) > CALLERS
        async with httpx.AsyncClient(verify=False) as client:  # noqa: S501
            probe = await client.get(f"{url}/readyz")
            assert probe.status_code == 404
            assert (await client.get(f"{url}/metrics")).status_code == 404
            scraped = await client.get(f"http://127.0.0.1:{metrics}/metrics")
            assert "process_resident_memory_bytes" in scraped.text
