"""Runs the API in a real server on a free port, and creates certificates for it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from starlette.types import ASGIApp

from api.server.tls import Certificate
from api.server.uvicorn_config import create_server
from devtools.devstack.ports import find_free
from integrator.settings import Settings


@asynccontextmanager
async def run_server(
    app: ASGIApp, settings: Settings, certificate: Certificate | None = None
) -> AsyncIterator[int]:
    """Serve the application and yield the port; its lifespan is skipped."""
    server = create_server(app, settings, certificate)
    server.config.port = 0
    server.config.lifespan = "off"
    server_task = asyncio.create_task(server.serve())
    try:
        while not server.started:  # noqa: ASYNC110 - uvicorn sets no event
            await asyncio.sleep(0.01)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await server_task


def free_port() -> int:
    return find_free("127.0.0.1", 1)[0]


class RawConnection:
    """A TCP connection that writes raw bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    @asynccontextmanager
    async def open(cls, port: int) -> AsyncIterator["RawConnection"]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield cls(reader, writer)
        finally:
            writer.close()

    async def send(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def read_all(self, within: float = 5.0) -> bytes:
        """Read until the other side closes the connection."""
        async with asyncio.timeout(within):
            return await self._reader.read()

    async def read_head(self, within: float = 5.0) -> bytes:
        """Read the headers of one response."""
        async with asyncio.timeout(within):
            return await self._reader.readuntil(b"\r\n\r\n")


def write_certificate(folder: Path, password: bytes | None = None) -> tuple[Path, Path, int]:
    """Write a self-signed certificate; return its file, its key's file and its serial number."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    protection = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)
    )
    return cert_file, key_file, certificate.serial_number
