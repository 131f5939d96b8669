"""Check and find free ports for a local run."""

import asyncio
import errno
import secrets
import socket
from collections.abc import Mapping

from devtools.devstack.errors import DevStackError
from integrator.settings import Settings

_PAUSE_SECONDS = 0.1
_METRICS = ("metrics_port", "worker_metrics_port")
_PORT_RANGE = range(20_000, 32_768)
"""Below the ephemeral ports: an outgoing connection must not take a port between its choice and
its use."""


async def require_free(host: str, ports: Mapping[str, int], *, timeout: float = 3.0) -> None:
    """Wait until every port is free; raises `DevStackError` naming one that is not in time.

    `ports` maps environment variables to ports. The wait covers ports that a stack killed just
    now is about to release.
    """
    _require_distinct(ports)
    deadline = asyncio.get_running_loop().time() + timeout
    while (occupied := _first_occupied(host, ports)) is not None:
        if asyncio.get_running_loop().time() > deadline:
            variable, port = occupied
            raise DevStackError(
                f"Port {port} on {host} is in use; stop the process that listens on it or choose "
                f"another with {variable}."
            )
        await asyncio.sleep(_PAUSE_SECONDS)


def find_free(host: str, count: int) -> list[int]:
    """Return `count` different ports that are free at this moment."""
    sockets: list[socket.socket] = []
    try:
        while len(sockets) < count:
            if (bound := _bind_socket(host, secrets.choice(_PORT_RANGE))) is not None:
                sockets.append(bound)
        return [bound_socket.getsockname()[1] for bound_socket in sockets]
    finally:
        for bound_socket in sockets:
            bound_socket.close()


def _bind_socket(host: str, port: int) -> socket.socket | None:
    bound_socket = socket.socket(_family(host))
    try:
        bound_socket.bind((host, port))
    except OSError as error:
        bound_socket.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise
    return bound_socket


def with_free_metrics_ports(settings: Settings) -> Settings:
    """Return the settings with free metrics ports where the environment sets none.

    A second stack on this machine needs ports of its own; this spares setting those for metrics.
    """
    host = settings.metrics_bind
    defaulted = {name for name in _METRICS if name not in settings.model_fields_set}
    occupied = {name for name in defaulted if not _is_free(host, getattr(settings, name))}
    free_ports = dict(zip(sorted(occupied), find_free(host, len(occupied)), strict=True))
    return settings.model_copy(update=free_ports)


def _require_distinct(ports: Mapping[str, int]) -> None:
    variables: dict[int, str] = {}
    for variable, port in ports.items():
        other = variables.setdefault(port, variable)
        if other != variable:
            raise DevStackError(f"{other} and {variable} both name port {port}.")


def _first_occupied(host: str, ports: Mapping[str, int]) -> tuple[str, int] | None:
    return next((item for item in ports.items() if not _is_free(host, item[1])), None)


def _is_free(host: str, port: int) -> bool:
    with socket.socket(_family(host)) as probe:
        # As servers do: lingering connections of an earlier run must not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
