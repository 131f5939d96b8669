"""`/metrics`: the figures of a process and those of the Temporal SDK within it, in one answer.

Served by a thread on a port of its own, so that the public one never shows them and a process
whose event loop is stuck can still be looked at.
"""

import http.client
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

log = logging.getLogger(__name__)

PATH = "/metrics"
_LOOPBACK = "127.0.0.1"
_TRIES = 5
_SDK_SECONDS = 2.0


class Server(ThreadingHTTPServer):
    """Answers GET `/metrics` and nothing else."""

    daemon_threads = True

    def __init__(self, bind: str, port: int, sdk_port: int | None) -> None:
        """Raises `OSError`."""
        self.address_family = socket.AF_INET6 if ":" in bind else socket.AF_INET
        super().__init__((bind, port), partial(_Handler, sdk_port))


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10

    def __init__(self, sdk_port: int | None, *args: object) -> None:
        self._sdk_port = sdk_port
        super().__init__(*args)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Both registries, one after the other: their names differ."""
        if self.path.partition("?")[0] != PATH:
            self.send_error(404)
            return
        body = generate_latest(REGISTRY) + sdk_text(self._sdk_port)
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE_PLAIN_0_0_4)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, _format: str, *args: object) -> None:
        """A scrape is not worth a line."""


def serve(bind: str, port: int) -> Server | None:
    """Serve this process's metrics; to be called before it connects to Temporal.

    With port 0 nothing is served. A port that cannot be had is an error in the log and no more:
    money comes before figures, and a missing target raises an alert of its own.
    """
    if port == 0:
        _use(None)
        return None
    sdk_port = _start_sdk()
    try:
        server = Server(bind, port, sdk_port)
    except OSError as error:
        log.error("No metrics are served on %s:%d: %s", bind, port, error.strerror)
        return None
    Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server


def sdk_text(port: int | None) -> bytes:
    """What the SDK shows on its own port; nothing when it does not answer."""
    if port is None:
        return b""
    connection = http.client.HTTPConnection(_LOOPBACK, port, timeout=_SDK_SECONDS)
    try:
        connection.request("GET", PATH)
        answer = connection.getresponse()
        return answer.read() if answer.status == 200 else b""
    except (OSError, http.client.HTTPException) as error:
        log.warning("The metrics of the Temporal SDK are not shown: %s", type(error).__name__)
        return b""
    finally:
        connection.close()


def _start_sdk() -> int | None:
    """Have the SDK show its metrics on a port that is free; returns it."""
    for _ in range(_TRIES):
        port = _free_port()
        try:
            _use(
                PrometheusConfig(
                    bind_address=f"{_LOOPBACK}:{port}",
                    counters_total_suffix=True,
                    unit_suffix=True,
                    durations_as_seconds=True,
                )
            )
        except ValueError:
            continue  # somebody else was faster
        return port
    log.error("The Temporal SDK found no port to show its metrics on")
    return None


def _use(metrics: PrometheusConfig | None) -> None:
    """Make the runtime of all clients of this process; its log goes where ours goes."""
    forwarding = LogForwardingConfig(
        logger=logging.getLogger("temporalio.core"),
        append_target_to_name=False,
        prepend_target_on_message=False,
    )
    chosen = TelemetryFilter(core_level="WARN", other_level="ERROR")
    telemetry = TelemetryConfig(
        logging=LoggingConfig(filter=chosen, forwarding=forwarding),
        metrics=metrics,
        attach_service_name=False,
    )
    Runtime.set_default(Runtime(telemetry=telemetry), error_if_already_set=False)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_LOOPBACK, 0))
        return int(probe.getsockname()[1])
