"""Addresses of the servers of a local run."""

from dataclasses import dataclass
from typing import Self

from integrator.settings import Settings

_LOOPBACK_FOR_WILDCARD = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not bound to


@dataclass(frozen=True)
class Addresses:
    """Server URLs without a trailing slash; `temporal` is `host:port`.

    `api_metrics` and `worker_metrics` are None where no metrics are served.
    """

    api: str
    sandbox_psp: str
    temporal: str
    temporal_ui: str | None
    codec_server: str
    api_metrics: str | None = None
    worker_metrics: str | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """Return the addresses as seen from this machine."""
        host = reachable_host(settings.bind)
        if settings.temporal_address is None:
            temporal_ui: str | None = f"http://{host}:{settings.temporal_ui_port}"
        else:
            temporal_ui = settings.temporal_ui.rstrip("/") if settings.temporal_ui else None
        return cls(
            api=f"http://{host}:{settings.api_port}",
            sandbox_psp=f"http://{host}:{settings.sandbox_port}",
            temporal=settings.temporal_address or f"{host}:{settings.temporal_port}",
            temporal_ui=temporal_ui,
            codec_server=f"http://{host}:{settings.codec_port}",
            api_metrics=_metrics_url(settings.metrics_bind, settings.metrics_port),
            worker_metrics=_metrics_url(settings.metrics_bind, settings.worker_metrics_port),
        )


def _metrics_url(bind: str, port: int) -> str | None:
    return f"http://{reachable_host(bind)}:{port}/metrics" if port else None


def reachable_host(bind: str) -> str:
    """Return the URL host for reaching a server that listens on `bind` from this machine."""
    host = _LOOPBACK_FOR_WILDCARD.get(bind, bind)
    return f"[{host}]" if ":" in host else host
