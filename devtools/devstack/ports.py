"""The ports of a local run: are they free, and which ones would be."""

import asyncio
import errno
import secrets
import socket
from collections.abc import Mapping

from devtools.devstack.errors import DevStackError
from integrator.settings import Settings

_PAUSE_SECONDS = 0.1
_METRICS = ("metrics_port", "worker_metrics_port")
_CHOICE = range(20_000, 32_768)
"""Below those that systems give to outgoing connections, which could otherwise take a port between
its choice and its use."""


async def require_free(host: str, ports: Mapping[str, int], *, patience: float = 3.0) -> None:
    """Return when every port can be listened on; raises `DevStackError` naming one that cannot.

    `ports`: environment variable to port. Waits a moment for those that a stack killed just now
    is about to release.
    """
    _require_distinct(ports)
    deadline = asyncio.get_running_loop().time() + patience
    while (taken := _first_taken(host, ports)) is not None:
        if asyncio.get_running_loop().time() > deadline:
            variable, port = taken
            raise DevStackError(
                f"Port {port} on {host} is in use; stop what listens there or choose another "
                f"with {variable}."
            )
        await asyncio.sleep(_PAUSE_SECONDS)


def find_free(host: str, count: int) -> list[int]:
    """`count` different ports that nobody listens on at this moment."""
    held: list[socket.socket] = []
    try:
        while len(held) < count:
            if (one := _bound(host, secrets.choice(_CHOICE))) is not None:
                held.append(one)
        return [each.getsockname()[1] for each in held]
    finally:
        for each in held:
            each.close()


def _bound(host: str, port: int) -> socket.socket | None:
    one = socket.socket(_family(host))
    try:
        one.bind((host, port))
    except OSError as error:
        one.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise
    return one


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
            raise DevStackError(f"{other} and {variable} both name port {port}.")


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
