"""The end of an API process: nobody who was let in goes without an answer."""

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
from tests.api.serving import Raw, free_port, write_certificate

ROOT = Path(__file__).parents[2]
FORM = b"grant_type=none"
HALF_A_REQUEST = (
    b"POST /oauth/token HTTP/1.1\r\nHost: api\r\n"
    b"Content-Type: application/x-www-form-urlencoded\r\n"
    b"Content-Length: %d\r\n\r\n" % len(FORM)
)
"""The answer waits for the rest, and that for the test: a request in flight."""


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    await Response("here")(scope, receive, send)


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: api\r\n\r\n".encode()


@asynccontextmanager
async def api(folder: Path, drain: float) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """A real process, as soon as it serves, and its port."""
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
            while not await answers(port):  # noqa: ASYNC110 - it happens in another process
                await asyncio.sleep(0.05)
        yield process, port
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def answers(port: int) -> bool:
    try:
        async with Raw.to(port) as one:
            await one.send(get("/healthz"))
            return b" 200 " in await one.head()
    except OSError:
        return False


async def test_requests_in_flight_are_answered(tmp_path: Path) -> None:
    async with (
        api(tmp_path, drain=0.7) as (process, port),
        Raw.to(port) as begun,
        Raw.to(port) as old,
    ):
        await begun.send(HALF_A_REQUEST)
        await old.send(get("/healthz"))
        head = await old.head()
        assert b" 200 " in head
        assert b"connection: close" not in head.lower()

        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(5):
            while b'{"process":"ending"}' not in (ready := await asked(port, "/readyz")):
                assert b" 200 " in ready or b" 503 " in ready
        assert ready.startswith(b"HTTP/1.1 503 ")
        await old.send(b"GET /healthz HTTP/1.1\r\nHost: api\r\n\r\n")
        last = await old.all()
        assert b" 200 " in last
        assert b"connection: close" in last.lower()

        await refused(port)
        assert process.returncode is None
        await begun.send(FORM)
        answer = await begun.all()
        assert answer.startswith(b"HTTP/1.1 401 ")
        assert b"invalid_client" in answer
        async with asyncio.timeout(10):
            assert await process.wait() == 0


async def test_a_connection_without_a_request_yet_gets_its_answer(tmp_path: Path) -> None:
    async with api(tmp_path, drain=0) as (process, port), Raw.to(port) as made:
        process.send_signal(signal.SIGTERM)
        await refused(port)
        await made.send(get("/healthz"))
        answer = await made.all()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" in answer.lower()
        assert await asyncio.wait_for(process.wait(), 10) == 0


async def test_a_connection_that_says_nothing_is_not_waited_for_long(tmp_path: Path) -> None:
    async with api(tmp_path, drain=0) as (process, port), Raw.to(port) as silent:
        process.send_signal(signal.SIGTERM)
        assert await silent.all() == b""
        assert await asyncio.wait_for(process.wait(), 10) == 0


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
@pytest.mark.parametrize("secure", [False, True])
def test_connections_nobody_has_accepted_yet_are_answered(
    run: Callable[..., None], secure: bool, tmp_path: Path
) -> None:
    """The kernel completes them by itself; who connected may have sent a request."""
    cert, key, _ = write_certificate(tmp_path)
    run(connect_and_end(Certificate(cert, key) if secure else None))


async def connect_and_end(certificate: Certificate | None) -> None:
    server = await started(certificate)
    # This task holds the loop: none can be accepted.
    with connected(server) as early, connected(server) as silent:
        asking = asyncio.create_task(asyncio.to_thread(ask, early, certificate is not None))
        await server.shutdown()
        assert (await asking).startswith(b"HTTP/1.1 200 ")
        assert silent.recv(1) == b""


async def started(certificate: Certificate | None) -> uvicorn.Server:
    server = create_server(echo, Settings(_env_file=None), certificate)
    server.config.port = 0
    server.config.lifespan = "off"
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup()
    return server


def connected(server: uvicorn.Server) -> socket.socket:
    return socket.create_connection(server.servers[0].sockets[0].getsockname(), timeout=5)


def ask(connection: socket.socket, secure: bool) -> bytes:
    if secure:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = context.wrap_socket(connection)
    with connection:
        connection.sendall(get("/"))
        return connection.recv(1000)


async def refused(port: int) -> None:
    async with asyncio.timeout(10):
        while await answers(port):  # noqa: ASYNC110 - it happens in another process
            await asyncio.sleep(0.05)


async def asked(port: int, path: str) -> bytes:
    """The whole answer; the connection is closed by whoever wants to."""
    async with Raw.to(port) as one:
        await one.send(f"GET {path} HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n".encode())
        return await one.all()


async def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    async with api(tmp_path, drain=60) as (process, port), Raw.to(port) as begun:
        await begun.send(HALF_A_REQUEST)
        process.send_signal(signal.SIGTERM)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(process.wait(), 0.5)
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 5) == 128 + signal.SIGTERM
        assert time.monotonic() - began < 2
