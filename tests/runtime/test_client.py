"""The connection to Temporal: TLS, certificates and API keys."""

import asyncio
import os
import signal
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

from integrator.settings import Settings
from integrator.temporal import client as temporal
from integrator.temporal.client import connect, follow_api_key, tls_of
from tests.support.certificates import Authority
from tests.support.temporal import temporal_binary

ROOT = Path(__file__).parents[2]
SERVER = "temporal.test"
ELSEWHERE = "temporal.example:7233"
KEYS = "k:" + "A" * 43 + "="


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("INTEGRATOR_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates"))


@dataclass
class Door:
    """A port that speaks TLS in front of a Temporal server that does not; it admits those with a
    certificate of the authority's. `guests` are the names in theirs."""

    address: str = ""
    guests: list[str] = field(default_factory=list)


@asynccontextmanager
async def door(authority: Authority, target: str) -> AsyncIterator[Door]:
    found = Door()
    inside: set[asyncio.Task[None]] = set()

    async def admit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        shown: dict[str, Any] = writer.get_extra_info("peercert")
        found.guests += [name for _, name in shown["subjectAltName"]]
        host, _, port = target.rpartition(":")
        inner_reader, inner_writer = await asyncio.open_connection(host, int(port))
        ways = [pump(reader, inner_writer), pump(inner_reader, writer)]
        inside.update(asyncio.create_task(way) for way in ways)

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.file))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(*authority.issue(SERVER))
    context.set_alpn_protocols(["h2"])
    server = await asyncio.start_server(admit, "127.0.0.1", 0, ssl=context)
    found.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield found
    finally:
        server.close()
        for way in inside:
            way.cancel()
        await asyncio.gather(*inside, return_exceptions=True)


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass on what comes until one of the two has gone."""
    try:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
    finally:
        writer.close()


async def test_a_server_that_wants_certificates_gets_ours(authority: Authority) -> None:
    cert, key = authority.issue("integrator.test")
    environment = await WorkflowEnvironment.start_local(dev_server_existing_path=temporal_binary())
    async with door(authority, environment.client.service_client.config.target_host) as outer:
        ours = Settings(
            keys=SecretStr(KEYS),
            temporal_address=outer.address,
            temporal_tls_ca_file=authority.file,
            temporal_tls_cert_file=cert,
            temporal_tls_key_file=key,
            temporal_tls_server_name=SERVER,
        )
        try:
            client = await connect(ours, lazy=False)
            assert await client.service_client.check_health(timeout=timedelta(seconds=5))
            assert outer.guests == ["integrator.test"]
            for change in (
                {"temporal_tls_cert_file": None, "temporal_tls_key_file": None},
                {"temporal_tls_server_name": "another.test"},
                {"temporal_tls_ca_file": None},
            ):
                with pytest.raises(RuntimeError):
                    await connect(ours.model_copy(update=change), lazy=False)
            assert outer.guests == ["integrator.test"]
        finally:
            await environment.shutdown()


class TestTls:
    def test_is_off_by_itself(self) -> None:
        assert tls_of(Settings(temporal_address=ELSEWHERE)) is False

    def test_can_be_on_with_the_systems_authorities(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("INTEGRATOR_TEMPORAL_ADDRESS", ELSEWHERE)
        monkeypatch.setenv("INTEGRATOR_TEMPORAL_TLS", "true")
        assert tls_of(Settings()) == TLSConfig()

    def test_files_are_read(self, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
        cert, key = authority.issue("files.test")
        monkeypatch.setenv("INTEGRATOR_TEMPORAL_ADDRESS", ELSEWHERE)
        monkeypatch.setenv("INTEGRATOR_TEMPORAL_TLS_CA_FILE", str(authority.file))
        monkeypatch.setenv("INTEGRATOR_TEMPORAL_TLS_CERT_FILE", str(cert))
        monkeypatch.setenv("INTEGRATOR_TEMPORAL_TLS_KEY_FILE", str(key))
        monkeypatch.setenv("INTEGRATOR_TEMPORAL_TLS_SERVER_NAME", SERVER)
        assert tls_of(Settings()) == TLSConfig(
            server_root_ca_cert=authority.file.read_bytes(),
            domain=SERVER,
            client_cert=cert.read_bytes(),
            client_private_key=key.read_bytes(),
        )

    def test_mistakes_are_named(self, authority: Authority, tmp_path: Path) -> None:
        cert, key = authority.issue("mistakes.test")
        _, locked = authority.issue("locked.test", password=b"secret")
        other, _ = authority.issue("other.test")
        none = tmp_path / "none.pem"
        junk = tmp_path / "junk.pem"
        junk.write_text("junk")
        mistakes: list[tuple[dict[str, Any], str]] = [
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
        for given, message in mistakes:
            fields = {f"temporal_tls_{name}": file for name, file in given.items()}
            with pytest.raises(ValidationError, match=message):
                Settings(temporal_address=ELSEWHERE, **fields)

    def test_cannot_be_off_where_it_is_needed(self, authority: Authority) -> None:
        for given in (
            {"temporal_api_key": SecretStr("key")},
            {"temporal_tls_ca_file": authority.file},
            {"temporal_tls_server_name": SERVER},
        ):
            with pytest.raises(ValidationError, match="_TLS is off, but"):
                Settings(temporal_address=ELSEWHERE, temporal_tls=False, **given)

    def test_is_not_spoken_by_the_local_server(self) -> None:
        with pytest.raises(ValidationError, match="TLS needs INTEGRATOR_TEMPORAL_ADDRESS"):
            Settings(temporal_tls=True)


class TestApiKey:
    async def test_is_followed_when_its_file_changes(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(temporal, "API_KEY_EVERY", timedelta(milliseconds=10))
        file = tmp_path / "key"
        file.write_text("first\n")
        ours = Settings(
            keys=SecretStr(KEYS),
            temporal_address=ELSEWHERE,
            temporal_api_key_file=file,
        )
        client = await connect(ours, lazy=True)
        assert client.api_key == "first"
        assert client.service_client.config.tls
        following = asyncio.create_task(follow_api_key(client, ours))
        try:
            file.unlink()
            async with asyncio.timeout(10):
                while "stays as it was" not in caplog.text:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            assert client.api_key == "first"
            file.write_text("second")
            async with asyncio.timeout(10):
                while client.api_key != "second":  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
        finally:
            following.cancel()
        assert "second" not in caplog.text

    async def test_that_is_given_itself_is_not_followed(self) -> None:
        ours = Settings(temporal_address=ELSEWHERE, temporal_api_key=SecretStr("key"))
        client = await connect(ours.model_copy(update={"keys": SecretStr(KEYS)}), lazy=True)
        await asyncio.wait_for(follow_api_key(client, ours), 1)
        assert client.api_key == "key"


async def test_a_worker_without_a_server_ends_when_it_is_told_to(tmp_path: Path) -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith("INTEGRATOR_")}
    env |= {"INTEGRATOR_DATA_DIR": str(tmp_path), "INTEGRATOR_TEMPORAL_ADDRESS": "127.0.0.1:1"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "worker", cwd=ROOT, env=env, stderr=asyncio.subprocess.PIPE
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(30):
            while b"is not reachable" not in await process.stderr.readline():
                pass
            process.send_signal(signal.SIGTERM)
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def test_a_worker_says_what_is_wrong_with_its_settings() -> None:
    env = {k: v for k, v in os.environ.items() if not k.startswith("INTEGRATOR_")}
    env["INTEGRATOR_TEMPORAL_TLS"] = "true"
    argv = [sys.executable, "-m", "worker"]
    ended = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "The worker cannot start" in ended.stderr
    assert "INTEGRATOR_TEMPORAL_ADDRESS" in ended.stderr
    assert "Traceback" not in ended.stderr
