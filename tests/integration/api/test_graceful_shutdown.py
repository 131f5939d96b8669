"""Graceful shutdown of the API: every accepted request is answered."""

import asyncio
import os
import signal
import socket
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import uvicorn
import uvloop
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.server.tls import Certificate
from api.server.uvicorn_config import create_server
from integrator.settings import Settings
from integrator.store.migrate import upgrade
from tests.integration.api.serving import RawConnection, free_port, write_certificate
from tests.support.paths import ROOT

FORM = b"grant_type=none"
INCOMPLETE_REQUEST = (
    b"POST /oauth/token HTTP/1.1\r\nHost: api\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n"
    b"Content-Length: %d\r\n\r\n" % len(FORM)
)
"""A request in flight: the test sends the rest of the body later."""


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await Response("here")(scope, receive, send)


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: api\r\n\r\n".encode()


@asynccontextmanager
async def api_process(
    folder: Path, drain: float
) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """Run the API as a process on a migrated database; yield it with its port once it serves."""
    await upgrade(f"sqlite+aiosqlite:///{folder / 'integrator.db'}")
    port = free_port()
    clean = {k: v for k, v in os.environ.items() if not k.startswith("INTEGRATOR_")}
    env = clean | {
        "INTEGRATOR_DATA_DIR": str(folder),
        "INTEGRATOR_API_PORT": str(port),
        "INTEGRATOR_DRAIN_SECONDS": str(drain),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "api", cwd=ROOT, env=env, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(30):
            while not await is_healthy(port):  # noqa: ASYNC110 - it happens in another process
                await asyncio.sleep(0.05)
        yield process, port
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def is_healthy(port: int) -> bool:
    try:
        async with RawConnection.open(port) as connection:
            await connection.send(get("/healthz"))
            return b" 200 " in await connection.read_head()
    except OSError:
        return False


async def test_requests_in_flight_are_answered(tmp_path: Path) -> None:
    async with (
        api_process(tmp_path, drain=0.7) as (process, port),
        RawConnection.open(port) as in_flight,
        RawConnection.open(port) as old,
    ):
        await in_flight.send(INCOMPLETE_REQUEST)
        await old.send(get("/healthz"))
        head = await old.read_head()
        assert b" 200 " in head
        assert b"connection: close" not in head.lower()

        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            while b'{"process":"ending"}' not in (ready := await fetch(port, "/readyz")):
                assert b" 200 " in ready or b" 503 " in ready
        assert ready.startswith(b"HTTP/1.1 503 ")
        await old.send(b"GET /healthz HTTP/1.1\r\nHost: api\r\n\r\n")
        last = await old.read_all()
        assert b" 200 " in last
        assert b"connection: close" in last.lower()

        await wait_until_refused(port)
        assert process.returncode is None
        await in_flight.send(FORM)
        answer = await in_flight.read_all()
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b"invalid_client" in answer
        async with asyncio.timeout(30):
            assert await process.wait() == 0


async def test_a_connection_without_a_request_yet_is_answered(tmp_path: Path) -> None:
    async with api_process(tmp_path, drain=0) as (process, port), RawConnection.open(port) as idle:
        process.send_signal(signal.SIGTERM)
        await wait_until_refused(port)
        await idle.send(get("/healthz"))
        answer = await idle.read_all()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" in answer.lower()
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_a_silent_connection_is_closed_soon(tmp_path: Path) -> None:
    async with (
        api_process(tmp_path, drain=0) as (process, port),
        RawConnection.open(port) as silent,
    ):
        process.send_signal(signal.SIGTERM)
        assert await silent.read_all() == b""
        assert await asyncio.wait_for(process.wait(), 10) == 0


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
@pytest.mark.parametrize("secure", [False, True])
def test_connections_not_accepted_yet_are_answered(
    run: Callable[..., None], secure: bool, tmp_path: Path
) -> None:
    """The kernel completes the connection; its client may have sent a request."""
    cert, key, _ = write_certificate(tmp_path)
    run(connect_and_end(Certificate(cert, key) if secure else None))


async def connect_and_end(certificate: Certificate | None) -> None:
    server = await start_server(certificate)
    # This task blocks the event loop, so that no connection is accepted.
    with connect(server) as early, connect(server) as silent:
        request_task = asyncio.create_task(
            asyncio.to_thread(send_request, early, certificate is not None)
        )
        await server.shutdown()
        assert (await request_task).startswith(b"HTTP/1.1 200 ")
        assert silent.recv(1) == b""


async def start_server(certificate: Certificate | None) -> uvicorn.Server:
    server = create_server(echo, Settings(_env_file=None), certificate)
    server.config.port = 0
    server.config.lifespan = "off"
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup()
    return server


def connect(server: uvicorn.Server) -> socket.socket:
    return socket.create_connection(server.servers[0].sockets[0].getsockname(), timeout=5)


def send_request(connection: socket.socket, secure: bool) -> bytes:
    if secure:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = context.wrap_socket(connection)
    with connection:
        connection.sendall(get("/"))
        return connection.recv(1000)


async def wait_until_refused(port: int) -> None:
    async with asyncio.timeout(30):
        while await is_healthy(port):  # noqa: ASYNC110 - it happens in another process
            await asyncio.sleep(0.05)


async def fetch(port: int, path: str) -> bytes:
    """Return the whole response of a request with `Connection: close`."""
    async with RawConnection.open(port) as connection:
        await connection.send(
            f"GET {path} HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n".encode()
        )
        return await connection.read_all()


async def test_a_second_signal_exits_at_once(tmp_path: Path) -> None:
    async with (
        api_process(tmp_path, drain=60) as (process, port),
        RawConnection.open(port) as in_flight,
    ):
        await in_flight.send(INCOMPLETE_REQUEST)
        process.send_signal(signal.SIGTERM)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(process.wait(), 0.5)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 5) == 128 + signal.SIGTERM
        assert time.monotonic() - began < 2
