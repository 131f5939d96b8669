"""Health check of a container: `python -m integrator.healthcheck api|worker|codec-server`.

Exits with 0 if the process in this container is healthy, otherwise prints the reason and exits
with 1. With `--ready` it checks that the process can work now. It runs every few seconds, so it
imports neither the settings nor a package: the names and defaults are those of
`integrator.settings`, which a test compares.
"""

import http.client
import os
import ssl
import sys
from collections.abc import Mapping
from contextlib import closing

TIMEOUT_S = 4.0
"""Less than the container's own timeout, so that the reason is printed."""
MAX_RESPONSE_BYTES = 64 * 1024
LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised, not bound to

PROCESSES = {
    "api": ("BIND", "API_PORT"),
    "worker": ("METRICS_BIND", "WORKER_METRICS_PORT"),
    "codec-server": ("BIND", "CODEC_PORT"),
}
"""The settings with the address of each process."""
DEFAULTS = {
    "BIND": "127.0.0.1",
    "METRICS_BIND": "127.0.0.1",
    "API_PORT": "8080",
    "WORKER_METRICS_PORT": "9465",
    "CODEC_PORT": "8081",
}
USAGE = f"usage: python -m integrator.healthcheck {'|'.join(PROCESSES)} [--ready]"


def check(process: str, environment: Mapping[str, str], *, ready: bool = False) -> str | None:
    """Return why the process is not healthy; None if it is."""
    settings = {name.upper(): value for name, value in environment.items() if value}
    bind, port = (settings.get(f"INTEGRATOR_{name}", DEFAULTS[name]) for name in PROCESSES[process])
    if port == "0":
        return "INTEGRATOR_WORKER_METRICS_PORT is 0: this worker serves neither metrics nor health"
    tls = process == "api" and "INTEGRATOR_TLS_CERT_FILE" in settings
    path = "/readyz" if ready and process != "codec-server" else "/healthz"
    host = LOOPBACK.get(bind, bind)
    try:
        status, body = _get(host, int(port), path, tls=tls)
    except (OSError, http.client.HTTPException) as error:
        scheme = "https" if tls else "http"
        return f"no answer from {scheme}://{host}:{port}{path}: {error or type(error).__name__}"
    return None if status == 200 else f"HTTP {status}: {body}"


def _get(host: str, port: int, path: str, *, tls: bool) -> tuple[int, str]:
    """Send a GET; return status and body. Raises `OSError` and `HTTPException`."""
    connection = (
        http.client.HTTPSConnection(host, port, timeout=TIMEOUT_S, context=_tls_context())
        if tls
        else http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
    )
    with closing(connection):
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read(MAX_RESPONSE_BYTES).decode(errors="replace")


def _tls_context() -> ssl.SSLContext:
    """Return a context without verification: the certificate's name is not that of loopback."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def main() -> None:
    """Check the process that the command line names."""
    arguments = [argument for argument in sys.argv[1:] if argument != "--ready"]
    if len(arguments) != 1 or arguments[0] not in PROCESSES:
        sys.exit(USAGE)
    reason = check(arguments[0], os.environ, ready="--ready" in sys.argv)
    if reason is not None:
        sys.exit(reason)


if __name__ == "__main__":
    main()
