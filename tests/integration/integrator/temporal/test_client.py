"""Connections to Temporal: TLS, certificates and API keys."""

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError
from temporalio.service import TLSConfig
from temporalio.testing import WorkflowEnvironment

from devtools.devstack.ports import find_free
from integrator.settings import Settings
from integrator.temporal import client as temporal
from integrator.temporal.client import connect, tls_config, watch_api_key_file
from tests.support.certificates import CertificateAuthority
from tests.support.paths import ROOT
from tests.support.temporal import temporal_binary

SERVER = "temporal.test"
ELSEWHERE = "temporal.example:7233"
KEYS = "k:" + "A" * 43 + "="


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("INTEGRATOR_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> CertificateAuthority:
    return CertificateAuthority(tmp_path_factory.mktemp("certificates"))


@dataclass
class TlsProxy:
    """TLS proxy of a Temporal server; requires client certificates of the authority.

    `client_names` are the names in the certificates of its clients.
    """

    address: str = ""
    client_names: list[str] = field(default_factory=list)


@asynccontextmanager
async def run_tls_proxy(authority: CertificateAuthority, target: str) -> AsyncIterator[TlsProxy]:
    proxy = TlsProxy()
    copies: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        certificate: dict[str, Any] = writer.get_extra_info("peercert")
        proxy.client_names += [name for _, name in certificate["subjectAltName"]]
        host, _, port = target.rpartition(":")
        target_reader, target_writer = await asyncio.open_connection(host, int(port))
        streams = [copy_stream(reader, target_writer), copy_stream(target_reader, writer)]
        copies.update(asyncio.create_task(stream) for stream in streams)

    context = ssl.create_default_context(
        ssl.Purpose.CLIENT_AUTH, cafile=str(authority.certificate_file)
    )
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(*authority.issue(SERVER))
    context.set_alpn_protocols(["h2"])
    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    proxy.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        for copy in copies:
            copy.cancel()
        await asyncio.gather(*copies, return_exceptions=True)


async def copy_stream(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy data until one side has closed."""
    try:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
    finally:
        writer.close()


async def test_the_client_certificate_is_sent(authority: CertificateAuthority) -> None:
    cert, key = authority.issue("integrator.test")
    environment = await WorkflowEnvironment.start_local(dev_server_existing_path=temporal_binary())
    async with run_tls_proxy(
        authority, environment.client.service_client.config.target_host
    ) as proxy:
        settings = Settings(
            keys=SecretStr(KEYS),
            temporal_address=proxy.address,
            temporal_tls_ca_file=authority.certificate_file,
            temporal_tls_cert_file=cert,
            temporal_tls_key_file=key,
            temporal_tls_server_name=SERVER,
        )
        try:
            client = await connect(settings, lazy=False)
            assert await client.service_client.check_health(timeout=timedelta(seconds=5))
            assert proxy.client_names == ["integrator.test"]
            for change in (
                {"temporal_tls_cert_file": None, "temporal_tls_key_file": None},
                {"temporal_tls_server_name": "another.test"},
                {"temporal_tls_ca_file": None},
            ):
                with pytest.raises(RuntimeError):
                    await connect(settings.model_copy(update=change), lazy=False)
            assert proxy.client_names == ["integrator.test"]
        finally:
            await environment.shutdown()


class TestTls:
    def test_is_off_by_default(self) -> None:
        assert tls_config(Settings(temporal_address=ELSEWHERE)) is False

    def test_can_use_the_systems_authorities(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("INTEGRATOR_TEMPORAL_ADDRESS", ELSEWHERE)
        monkeypatch.setenv("INTEGRATOR_TEMPORAL_TLS", "true")
        assert tls_config(Settings()) == TLSConfig()

    def test_files_are_read(
        self, authority: CertificateAuthority, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        cert, key = authority.issue("files.test")
        monkeypatch.setenv("INTEGRATOR_TEMPORAL_ADDRESS", ELSEWHERE)
        monkeypatch.setenv("INTEGRATOR_TEMPORAL_TLS_CA_FILE", str(authority.certificate_file))
        monkeypatch.setenv("INTEGRATOR_TEMPORAL_TLS_CERT_FILE", str(cert))
        monkeypatch.setenv("INTEGRATOR_TEMPORAL_TLS_KEY_FILE", str(key))
        monkeypatch.setenv("INTEGRATOR_TEMPORAL_TLS_SERVER_NAME", SERVER)
        assert tls_config(Settings()) == TLSConfig(
            server_root_ca_cert=authority.certificate_file.read_bytes(),
            domain=SERVER,
            client_cert=cert.read_bytes(),
            client_private_key=key.read_bytes(),
        )

    def test_errors_name_the_setting(self, authority: CertificateAuthority, tmp_path: Path) -> None:
        cert, key = authority.issue("mistakes.test")
        _, locked = authority.issue("locked.test", password=b"secret")
        other, _ = authority.issue("other.test")
        none = tmp_path / "none.pem"
        junk = tmp_path / "junk.pem"
        junk.write_text("junk")
        cases: list[tuple[dict[str, Any], str]] = [
            ({"cert_file": cert}, "set both .*_CERT_FILE and .*_KEY_FILE, or none"),
            ({"key_file": key}, "set both"),
            ({"cert_file": none, "key_file": key}, "_CERT_FILE .No such file"),
            ({"cert_file": cert, "key_file": none}, "_KEY_FILE .No such file"),
            ({"cert_file": other, "key_file": key}, "cannot be used with the key"),
            ({"cert_file": junk, "key_file": key}, "cannot be used with the key"),
            ({"cert_file": cert, "key_file": locked}, "cannot be used with the key"),
            ({"ca_file": none}, "_CA_FILE .No such file"),
            ({"ca_file": junk}, "_CA_FILE holds no certificate"),
        ]
        for options, message in cases:
            fields = {f"temporal_tls_{name}": file for name, file in options.items()}
            with pytest.raises(ValidationError, match=message):
                Settings(temporal_address=ELSEWHERE, **fields)

    def test_cannot_be_off_where_it_is_needed(self, authority: CertificateAuthority) -> None:
        for options in (
            {"temporal_api_key": SecretStr("key")},
            {"temporal_tls_ca_file": authority.certificate_file},
            {"temporal_tls_server_name": SERVER},
        ):
            with pytest.raises(ValidationError, match="_TLS is off, but"):
                Settings(temporal_address=ELSEWHERE, temporal_tls=False, **options)

    def test_is_not_available_for_the_local_server(self) -> None:
        with pytest.raises(ValidationError, match="TLS needs INTEGRATOR_TEMPORAL_ADDRESS"):
            Settings(temporal_tls=True)


class TestApiKey:
    async def test_is_updated_when_its_file_changes(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(temporal, "API_KEY_RELOAD_INTERVAL", timedelta(milliseconds=10))
        file = tmp_path / "key"
        file.write_text("first\n")
        settings = Settings(
            keys=SecretStr(KEYS),
            temporal_address=ELSEWHERE,
            temporal_api_key_file=file,
        )
        client = await connect(settings, lazy=True)
        assert client.api_key == "first"
        assert client.service_client.config.tls
        watcher = asyncio.create_task(watch_api_key_file(client, settings))
        try:
            file.unlink()
            async with asyncio.timeout(30):
                while "was not updated" not in caplog.text:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert client.api_key == "first"
            file.write_text("second")
            async with asyncio.timeout(30):
                while client.api_key != "second":  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        finally:
            watcher.cancel()
        assert "second" not in caplog.text

    async def test_without_a_file_is_not_watched(self) -> None:
        settings = Settings(temporal_address=ELSEWHERE, temporal_api_key=SecretStr("key"))
        client = await connect(settings.model_copy(update={"keys": SecretStr(KEYS)}), lazy=True)
        await asyncio.wait_for(watch_api_key_file(client, settings), 1)
        assert client.api_key == "key"


@pytest.mark.parametrize("held", [False, True], ids=["", "metrics port in use"])
async def test_a_worker_without_a_server_ends_on_sigterm(tmp_path: Path, held: bool) -> None:
    """Also one that is stopped at once, in the middle of its first connection attempts."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("INTEGRATOR_")}
    env |= {
        "INTEGRATOR_DATA_DIR": str(tmp_path),
        "INTEGRATOR_TEMPORAL_ADDRESS": "127.0.0.1:1",
        "INTEGRATOR_WORKER_METRICS_PORT": str(find_free("127.0.0.1", 1)[0]),
    }
    holder = socket.create_server(("127.0.0.1", int(env["INTEGRATOR_WORKER_METRICS_PORT"])))
    if not held:
        holder.close()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "worker", cwd=ROOT, env=env, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(90):
            while b"is not reachable" not in (line := await process.stderr.readline()):
                assert line, "the worker ended"
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
        holder.close()


def test_a_worker_reports_invalid_settings() -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith("INTEGRATOR_")}
    env["INTEGRATOR_TEMPORAL_TLS"] = "true"
    argv = [sys.executable, "-m", "worker"]
    result = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "The worker cannot start" in result.stderr
    assert "INTEGRATOR_TEMPORAL_ADDRESS" in result.stderr
    assert "Traceback" not in result.stderr
