"""Health check of a container: which address it asks, and what it makes of the answer."""

import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from integrator.healthcheck import DEFAULTS, PROCESSES, check
from integrator.settings import PREFIX, Settings
from tests.support.certificates import CertificateAuthority
from tests.support.paths import ROOT


class Handler(BaseHTTPRequestHandler):
    """Answers `/healthz` with 200 and everything else with 503."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 503)
        self.end_headers()
        self.wfile.write(b"why not")

    def log_message(self, _format: str, *args: object) -> None:
        """Log nothing."""


@contextmanager
def run_server(bind: str, certificate: tuple[Path, Path] | None = None) -> Iterator[str]:
    """Serve in a thread; yield the port."""
    with HTTPServer((bind, 0), Handler) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        Thread(target=server.serve_forever, daemon=True).start()
        yield str(server.server_port)
        server.shutdown()


def test_names_and_defaults_are_those_of_the_settings() -> None:
    for name, default in DEFAULTS.items():
        assert default == str(Settings.model_fields[name.lower()].default)
    assert {name for names in PROCESSES.values() for name in names} == set(DEFAULTS)
    assert "tls_cert_file" in Settings.model_fields


def test_imports_no_package() -> None:
    """It runs every ten seconds in every container."""
    code = (
        "import sys; before = set(sys.modules); import integrator.healthcheck; "
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    argv = [sys.executable, "-c", code]
    result = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(result.stdout.split()) - set(sys.stdlib_module_names) == {"integrator"}


@pytest.mark.parametrize("process", PROCESSES)
def test_each_process_is_asked_at_its_own_port(process: str) -> None:
    bind, port = (f"{PREFIX}{name}" for name in PROCESSES[process])
    with run_server("127.0.0.1") as number:
        assert check(process, {port: number}) is None
        for address in ("127.0.0.1", "0.0.0.0", ""):  # noqa: S104
            assert check(process, {bind: address, port: number}) is None
        ready = check(process, {port: number}, ready=True)
    assert ready == (None if process == "codec-server" else "HTTP 503: why not")
    reason = check(process, {port: number})
    assert reason is not None
    assert f"http://127.0.0.1:{number}/healthz: " in reason


def test_the_bind_address_is_followed() -> None:
    with run_server("127.0.0.9") as number:
        environment = {"INTEGRATOR_API_PORT": number}
        assert check("api", environment | {"INTEGRATOR_BIND": "127.0.0.9"}) is None
        assert "127.0.0.1" in str(check("api", environment))


def test_an_api_with_its_own_certificate_is_asked_over_https(tmp_path: Path) -> None:
    """The certificate is for another name, and its authority is not known here."""
    certificate = CertificateAuthority(tmp_path).issue("integrator.test")
    with run_server("127.0.0.1", certificate) as number:
        environment = {"INTEGRATOR_API_PORT": number, "INTEGRATOR_CODEC_PORT": number}
        tls = {"INTEGRATOR_TLS_CERT_FILE": "certificate.pem"}
        assert check("api", environment | tls) is None
        assert "http://" in str(check("api", environment))
        assert "http://" in str(check("codec-server", environment | tls))


def test_a_worker_without_metrics_has_no_health() -> None:
    assert "is 0" in str(check("worker", {"INTEGRATOR_WORKER_METRICS_PORT": "0"}))


@pytest.mark.parametrize("arguments", [(), ("database",), ("api", "worker")])
def test_misuse_is_reported(arguments: tuple[str, ...]) -> None:
    argv = [sys.executable, "-m", "integrator.healthcheck", *arguments]
    result = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "usage: python -m integrator.healthcheck api|worker|codec-server" in result.stderr
