"""The ports of a local run: are they free, and which ones would be."""

import asyncio
import socket
from collections.abc import Mapping

from local.errors import LocalError
from runtime.settings import Settings

_PAUSE_SECONDS = 0.1
_METRICS = ("metrics_port", "worker_metrics_port")


async def require_free(host: str, ports: Mapping[str, int], *, patience: float = 3.0) -> None:
    """Return when every port can be listened on; raises `LocalError` naming one that cannot.

    `ports`: environment variable to port. Waits a moment for those that a stack killed just now
    is about to release.
    """
    _require_distinct(ports)
    deadline = asyncio.get_running_loop().time() + patience
    while (taken := _first_taken(host, ports)) is not None:
        if asyncio.get_running_loop().time() > deadline:
            variable, port = taken
            raise LocalError(
                f"Port {port} on {host} is in use; stop what listens there or choose another "
                f"with {variable}."
            )
        await asyncio.sleep(_PAUSE_SECONDS)


def find_free(host: str, count: int) -> list[int]:
    """`count` different ports that nobody listens on at this moment."""
    sockets = [socket.socket(_family(host)) for _ in range(count)]
    try:
        for each in sockets:
            each.bind((host, 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def with_metrics(settings: Settings) -> Settings:
    """The settings with ports for metrics that are free, where the environment names none.

    A second stack on this machine has its own ports; those of its metrics need not be thought of.
    """
    host = settings.metrics_bind
    wanted = {name for name in _METRICS if name not in settings.model_fields_set}
    taken = {name for name in wanted if not _is_free(host, getattr(settings, name))}
    chosen = dict(zip(sorted(taken), find_free(host, len(taken)), strict=True))
    return settings.model_copy(update=chosen)


def _require_distinct(ports: Mapping[str, int]) -> None:
    owners: dict[int, str] = {}
    for variable, port in ports.items():
        other = owners.setdefault(port, variable)
        if other != variable:
            raise LocalError(f"{other} and {variable} both name port {port}.")


def _first_taken(host: str, ports: Mapping[str, int]) -> tuple[str, int] | None:
    return next((item for item in ports.items() if not _is_free(host, item[1])), None)


def _is_free(host: str, port: int) -> bool:
    with socket.socket(_family(host)) as probe:
        # As servers do: connections of an earlier run that linger must not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET
