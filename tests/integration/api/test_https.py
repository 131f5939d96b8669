"""HTTPS, by the API itself or a trusted proxy; production refuses plain HTTP."""

import asyncio
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from fastapi import FastAPI
from pydantic import SecretStr, ValidationError

from api.app import create_app
from api.auth.rate_limits import FailedAuthLimit
from api.context import Context
from api.server.https import ConfigurationError, list_relaxations
from api.server.tls import Certificate
from integrator.crypto.keys import generate_key
from integrator.settings import Settings
from tests.integration.api.builders import auth
from tests.integration.api.conftest import assert_error
from tests.integration.api.serving import free_port, run_server, write_certificate
from tests.support.paths import ROOT

PROXY = "10.9.8.7"
HTTPS = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.5"}


def production(settings: Settings, **changes: object) -> Settings:
    return settings.model_copy(update={"profile": "production"} | changes)


@asynccontextmanager
async def client_from(
    address: str, settings: Settings, context: Context
) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings)
    app.state.context = context
    transport = httpx.ASGITransport(app, client=(address, 4711))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://api", headers=auth()
    ) as client:
        yield client


async def served_serial_number(port: int) -> int:
    """Return the serial number of the certificate of a new connection."""
    pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port))
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


class TestOwnTls:
    async def test_the_api_serves_only_https(
        self, settings: Settings, context: Context, tmp_path: Path
    ) -> None:
        cert, key, _ = write_certificate(tmp_path)
        production_settings = production(settings, tls_cert_file=cert, tls_key_file=key)
        app = create_app(production_settings)
        app.state.context = context
        async with run_server(app, production_settings, Certificate(cert, key)) as port:
            trusting = ssl.create_default_context(cafile=str(cert))
            async with httpx.AsyncClient(verify=trusting, headers=auth()) as client:
                response = await client.get(f"https://127.0.0.1:{port}/api/Settings")
                assert response.status_code == 200
                assert response.headers["strict-transport-security"] == "max-age=31536000"
                assert "server" not in response.headers
                with pytest.raises(httpx.RemoteProtocolError):
                    await client.get(f"http://127.0.0.1:{port}/api/Settings")
            async with httpx.AsyncClient() as stranger:
                with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                    await stranger.get(f"https://127.0.0.1:{port}/healthz")

    def test_old_tls_versions_are_disabled(self, tmp_path: Path) -> None:
        context = Certificate(*write_certificate(tmp_path)[:2]).context
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
        names = {cipher["name"] for cipher in context.get_ciphers()}
        assert any("GCM" in name for name in names)
        assert not any("RC4" in name or "3DES" in name or "NULL" in name for name in names)

    async def test_a_new_certificate_is_loaded_and_an_invalid_one_ignored(
        self, app: FastAPI, settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        cert, key, first = write_certificate(tmp_path)
        certificate = Certificate(cert, key)
        async with run_server(app, settings, certificate) as port:
            assert await served_serial_number(port) == first
            _, _, second = write_certificate(tmp_path)
            certificate.reload()
            assert await served_serial_number(port) == second
            good = key.read_bytes()
            write_certificate(tmp_path)
            key.write_bytes(good)
            certificate.reload()
            assert await served_serial_number(port) == second
            cert.unlink()
            certificate.reload()
            assert await served_serial_number(port) == second
        assert caplog.text.count("was not replaced") == 2

    def test_unusable_files_are_named(self, tmp_path: Path) -> None:
        cert, key, _ = write_certificate(tmp_path, password=b"secret")
        with pytest.raises(ConfigurationError, match=r"key\.pem cannot be used"):
            Certificate(cert, key)
        with pytest.raises(ConfigurationError, match=r"none\.pem"):
            Certificate(tmp_path / "none.pem", key)

    def test_a_certificate_needs_its_key(self, tmp_path: Path) -> None:
        with pytest.raises(ValidationError, match="TLS_CERT_FILE and INTEGRATOR_TLS_KEY_FILE"):
            Settings(tls_cert_file=tmp_path)
        with pytest.raises(ValidationError, match="or none"):
            Settings(tls_key_file=tmp_path)


class TestProxies:
    async def test_trusted_proxies_set_the_scheme(
        self, settings: Settings, context: Context
    ) -> None:
        production_settings = production(settings, trusted_proxies=("10.9.8.0/24",))
        async with client_from(PROXY, production_settings, context) as client:
            response = await client.get("/api/Settings", headers=HTTPS)
            assert response.status_code == 200
            assert "strict-transport-security" in response.headers
            for value in ("http", "", "https, http", "HTTPS2"):
                plain = await client.get("/api/Settings", headers={"X-Forwarded-Proto": value})
                assert_error(plain, 403, "InvalidConfiguration")

    async def test_other_proxies_are_not_trusted(
        self, settings: Settings, context: Context
    ) -> None:
        production_settings = production(settings, trusted_proxies=(PROXY,))
        for address in ("10.9.8.8", "203.0.113.5", "127.0.0.1", "::1"):
            async with client_from(address, production_settings, context) as client:
                for headers in (
                    HTTPS,
                    {"Forwarded": "for=203.0.113.5;proto=https"},
                    {"X-Forwarded-For": PROXY, "X-Forwarded-Proto": "https"},
                ):
                    response = await client.get("/api/Settings", headers=headers)
                    assert_error(response, 403, "InvalidConfiguration")
                    assert "strict-transport-security" not in response.headers

    async def test_the_forwarded_header_is_ignored(
        self, settings: Settings, context: Context
    ) -> None:
        production_settings = production(settings, trusted_proxies=(PROXY,))
        async with client_from(PROXY, production_settings, context) as client:
            headers = {"Forwarded": "for=203.0.113.5;proto=https"}
            assert_error(
                await client.get("/api/Settings", headers=headers), 403, "InvalidConfiguration"
            )

    async def test_the_client_address_comes_from_the_proxy(
        self, settings: Settings, context: Context
    ) -> None:
        """The client address is the one added by the proxy, not one claimed by the client."""
        production_settings = production(
            settings, trusted_proxies=(PROXY,), rate_limit_unauthenticated="2/day"
        )
        limited_context = with_failed_auth_limit(context, production_settings)
        async with client_from(PROXY, production_settings, limited_context) as client:
            for number in range(4):
                headers = HTTPS | auth("wrong")
                headers["X-Forwarded-For"] = f"198.51.100.{number}, 203.0.113.5"
                response = await client.get("/api/Settings", headers=headers)
                assert response.status_code == (401 if number < 2 else 429)
            elsewhere = HTTPS | auth("wrong") | {"X-Forwarded-For": "203.0.113.6"}
            response = await client.get("/api/Settings", headers=elsewhere)
            assert response.status_code == 401

    async def test_uvicorn_trusts_no_proxy_by_default(
        self, settings: Settings, context: Context
    ) -> None:
        """By default uvicorn would trust connections from this machine."""
        production_settings = production(settings, trusted_proxies=(PROXY,))
        app = create_app(production_settings)
        app.state.context = context
        async with run_server(app, production_settings) as port, httpx.AsyncClient() as client:
            url = f"http://127.0.0.1:{port}/api/Settings"
            response = await client.get(url, headers=HTTPS | auth())
            assert_error(response, 403, "InvalidConfiguration")

    def test_trusted_proxies_must_be_addresses(self) -> None:
        with pytest.raises(ValidationError, match="trusted_proxies"):
            Settings(trusted_proxies=("proxy.example",))


class TestPlainHttp:
    @pytest.fixture
    def production_settings(self, settings: Settings) -> Settings:
        return production(settings, trusted_proxies=(PROXY,))

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/api/Settings"),
            ("POST", "/payment"),
            ("POST", "/oauth/token"),
            ("POST", "/api/notifications/fake/000000000000000000000000"),
            ("GET", "/docs"),
            ("GET", "/healthz/"),
        ],
    )
    async def test_plain_http_is_refused(
        self, production_settings: Settings, context: Context, method: str, path: str
    ) -> None:
        async with client_from("127.0.0.1", production_settings, context) as client:
            response = await client.request(method, path)
            body = assert_error(response, 403, "InvalidConfiguration")
            assert "Only HTTPS" in body["errorMessage"]
            assert len(response.headers["x-request-id"]) == 32

    @pytest.mark.parametrize("path", ["/healthz", "/readyz"])
    @pytest.mark.parametrize(
        ("address", "status"),
        [("127.0.0.1", 200), ("10.1.2.3", 200), ("::1", 200), ("203.0.114.5", 403), ("", 403)],
    )
    async def test_internal_probes_may_use_plain_http(
        self, production_settings: Settings, context: Context, path: str, address: str, status: int
    ) -> None:
        async with client_from(address, production_settings, context) as client:
            assert (await client.get(path)).status_code == status

    async def test_plain_http_is_allowed_in_development(
        self, settings: Settings, context: Context
    ) -> None:
        async with client_from("203.0.114.5", settings, context) as client:
            response = await client.get("/api/Settings")
            assert response.status_code == 200
            assert "strict-transport-security" not in response.headers


class TestStart:
    def environment(self, folder: Path, **changes: str) -> dict[str, str]:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("INTEGRATOR_")}
        return clean | {"INTEGRATOR_DATA_DIR": str(folder)} | changes

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"INTEGRATOR_KEYS": f"k:{generate_key()}"}, "INTEGRATOR_TRUSTED_PROXIES"),
            ({"INTEGRATOR_TRUSTED_PROXIES": PROXY}, "INTEGRATOR_KEYS"),
            ({"INTEGRATOR_KEYS": "k:x", "INTEGRATOR_TRUSTED_PROXIES": PROXY}, "key number 1"),
        ],
    )
    def test_production_requires_keys_and_https(
        self, tmp_path: Path, changes: dict[str, str], message: str
    ) -> None:
        env = self.environment(tmp_path, INTEGRATOR_PROFILE="production", **changes)
        process = subprocess.run(
            [sys.executable, "-m", "api"],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 1
        assert "cannot start" in process.stderr
        assert message in process.stderr
        assert "Traceback" not in process.stderr

    def test_development_lists_its_relaxations(self, settings: Settings, tmp_path: Path) -> None:
        relaxations = "\n".join(list_relaxations(settings))
        assert "plain HTTP is served on 127.0.0.1:8080" in relaxations
        assert "loopback" in relaxations
        assert str(tmp_path) in relaxations
        keys = SecretStr("k:x")
        secured = settings.model_copy(update={"tls_cert_file": tmp_path, "keys": keys})
        assert len(list_relaxations(secured)) == 1
        assert list_relaxations(production(settings)) == []

    async def test_sighup_reloads_the_certificate(self, tmp_path: Path) -> None:
        cert, key, first = write_certificate(tmp_path)
        port = free_port()
        env = self.environment(
            tmp_path,
            INTEGRATOR_PROFILE="production",
            INTEGRATOR_KEYS=f"k:{generate_key()}",
            INTEGRATOR_TLS_CERT_FILE=str(cert),
            INTEGRATOR_TLS_KEY_FILE=str(key),
            INTEGRATOR_API_PORT=str(port),
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "api", cwd=ROOT, env=env, stderr=asyncio.subprocess.PIPE
        )
        try:
            assert await self._wait_for_certificate(port, other_than=0) == first
            _, _, second = write_certificate(tmp_path)
            process.send_signal(signal.SIGHUP)
            assert await self._wait_for_certificate(port, other_than=first) == second
        finally:
            process.terminate()
            _, log = await process.communicate()
        assert process.returncode == 0
        assert b"The certificate was reloaded." in log

    async def _wait_for_certificate(self, port: int, other_than: int) -> int:
        """Wait until another certificate is served; return its serial number."""
        async with asyncio.timeout(20):
            while True:
                try:
                    serial_number = await served_serial_number(port)
                except ConnectionError:
                    serial_number = other_than
                if serial_number != other_than:
                    return serial_number
                await asyncio.sleep(0.05)


def with_failed_auth_limit(context: Context, settings: Settings) -> Context:
    """Return the context with the limit of failed authentications from the settings."""
    return replace(context, failed_auth_limit=FailedAuthLimit(settings.rate_limit_unauthenticated))
