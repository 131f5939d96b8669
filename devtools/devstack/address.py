"""Where the parts of a local run are found."""

from dataclasses import dataclass
from typing import Self

from integrator.settings import Settings

_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared with, not bound to


@dataclass(frozen=True)
class Addresses:
    """URLs without a trailing slash; `temporal` is `host:port`. Metrics may not be served."""

    api: str
    sandbox_psp: str
    temporal: str
    temporal_ui: str | None
    codec_server: str
    api_metrics: str | None = None
    worker_metrics: str | None = None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The addresses as seen from this machine."""
        host = reachable(settings.bind)
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
            api_metrics=_metrics(settings.metrics_bind, settings.metrics_port),
            worker_metrics=_metrics(settings.metrics_bind, settings.worker_metrics_port),
        )


def _metrics(bind: str, port: int) -> str | None:
    return f"http://{reachable(bind)}:{port}/metrics" if port else None


def reachable(bind: str) -> str:
    """The host, as in a URL, under which a server that listens on `bind` is reached from here."""
    host = _EVERYWHERE.get(bind, bind)
    return f"[{host}]" if ":" in host else host
