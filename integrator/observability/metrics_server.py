"""HTTP server of `/metrics`: the metrics of a process and of its Temporal SDK in one response.

Runs in a thread on a separate port, so that the public port never exposes them and the metrics of
a process with a blocked event loop can still be read. The same holds for the health of a worker,
which has no other port: `/healthz` is 503 if a restart would help, `/readyz` unless all is well.
"""

import http.client
import json
import logging
import socket
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, REGISTRY, generate_latest
from temporalio.runtime import (
    LogForwardingConfig,
    LoggingConfig,
    PrometheusConfig,
    Runtime,
    TelemetryConfig,
    TelemetryFilter,
)

from integrator.observability.health import HealthStatus, ProcessHealth, worst

log = logging.getLogger(__name__)

PATH = "/metrics"
_ACCEPTED = {
    "/healthz": frozenset(HealthStatus) - {HealthStatus.UNHEALTHY},
    "/readyz": frozenset({HealthStatus.OK}),
}
"""Statuses that are HTTP 200 at each path; all others are 503."""
_LOOPBACK = "127.0.0.1"
_PORT_ATTEMPTS = 5
_SDK_TIMEOUT_S = 2.0


class MetricsServer(ThreadingHTTPServer):
    """HTTP server of GET `/metrics` and, with a `health`, of `/healthz` and `/readyz`."""

    daemon_threads = True

    def __init__(
        self, bind: str, port: int, sdk_port: int | None, health: ProcessHealth | None = None
    ) -> None:
        """Bind the port; raises `OSError`."""
        self.address_family = socket.AF_INET6 if ":" in bind else socket.AF_INET
        self.sdk_port = sdk_port
        super().__init__((bind, port), partial(_Handler, sdk_port, health))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10

    def __init__(self, sdk_port: int | None, health: ProcessHealth | None, *args: object) -> None:
        self._sdk_port = sdk_port
        self._health = health
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Send the metrics of both registries, whose names differ, or the health."""
        path = self.path.partition("?")[0]
        if path == PATH:
            body = generate_latest(REGISTRY) + read_sdk_metrics(self._sdk_port)
            self._send(200, CONTENT_TYPE_PLAIN_0_0_4, body)
        elif self._health is not None and path in _ACCEPTED:
            self._send_health(self._health, _ACCEPTED[path])
        else:
            self.send_error(404)

    def _send_health(self, health: ProcessHealth, accepted: frozenset[HealthStatus]) -> None:
        checks = health.read()
        status = worst(checks.values()).status
        members = {name: check.reason or check.status for name, check in checks.items()}
        body = json.dumps({"status": status, **members}).encode()
        self._send(200 if status in accepted else 503, "application/json", body)

    def _send(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, _format: str, *args: object) -> None:
        """Do not log scrapes."""


def serve(bind: str, port: int, health: ProcessHealth | None = None) -> MetricsServer | None:
    """Serve this process's metrics, and its `health`; to be called before it connects to Temporal.

    With port 0 nothing is served. An unavailable port is only logged as an error: payments are
    more important than metrics, and a missing target raises an alert.
    """
    if port == 0:
        _set_runtime(None)
        return None
    return _start(bind, port, _start_sdk_exporter(), health)


def serve_without_sdk(bind: str, port: int) -> MetricsServer | None:
    """Serve the metrics of a process without a Temporal client; otherwise as `serve`."""
    return _start(bind, port, None) if port else None


def _start(
    bind: str, port: int, sdk_port: int | None, health: ProcessHealth | None = None
) -> MetricsServer | None:
    """Serve in a thread; log an unavailable port and return None."""
    try:
        server = MetricsServer(bind, port, sdk_port, health)
    except OSError as error:
        log.error("Cannot serve metrics on %s:%d: %s", bind, port, error.strerror)
        return None
    Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server


def read_sdk_metrics(port: int | None) -> bytes:
    """Read the metrics that the SDK exports on its own port; empty when it does not respond."""
    if port is None:
        return b""
    connection = http.client.HTTPConnection(_LOOPBACK, port, timeout=_SDK_TIMEOUT_S)
    try:
        connection.request("GET", PATH)
        response = connection.getresponse()
        return response.read() if response.status == 200 else b""
    except (OSError, http.client.HTTPException) as error:
        log.warning("Cannot read the metrics of the Temporal SDK: %s", type(error).__name__)
        return b""
    finally:
        connection.close()


def _start_sdk_exporter() -> int | None:
    """Start the SDK's Prometheus exporter on a free port; returns the port or None."""
    for _ in range(_PORT_ATTEMPTS):
        port = _free_port()
        try:
            _set_runtime(
                PrometheusConfig(
                    bind_address=f"{_LOOPBACK}:{port}",
                    counters_total_suffix=True,
                    unit_suffix=True,
                    durations_as_seconds=True,
                )
            )
        except ValueError:
            continue  # another process has taken the port
        return port
    log.error("Found no free port for the metrics of the Temporal SDK")
    return None


def _set_runtime(metrics: PrometheusConfig | None) -> None:
    """Set the SDK runtime of this process; it logs to our handlers."""
    forwarding = LogForwardingConfig(
        logger=logging.getLogger("temporalio.core"),
        append_target_to_name=False,
        prepend_target_on_message=False,
    )
    levels = TelemetryFilter(core_level="WARN", other_level="ERROR")
    telemetry = TelemetryConfig(
        logging=LoggingConfig(filter=levels, forwarding=forwarding),
        metrics=metrics,
        attach_service_name=False,
    )
    Runtime.set_default(Runtime(telemetry=telemetry), error_if_already_set=False)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        return int(probe.getsockname()[1])
