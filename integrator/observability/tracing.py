"""Tracing, if an endpoint is configured; otherwise OpenTelemetry is not imported.

One trace covers a request, its workflow and activities, and the calls to the PSP. No call to a PSP
or to a webhook target has a trace header, and trace headers of incoming requests are ignored.
"""

from typing import TYPE_CHECKING

from integrator.observability.log_setup import Subject, bound
from integrator.settings import Settings

if TYPE_CHECKING:  # no process needs all of them
    import httpx
    from fastapi import FastAPI
    from temporalio.client import Interceptor

    from integrator.observability.otel import Tracer

_tracer: "Tracer | None" = None


def set_up(settings: Settings, service: str) -> None:
    """Start tracing as `service`, if an endpoint is configured; to be called before connecting."""
    global _tracer
    if settings.otlp_endpoint is None:
        return
    from integrator.observability.otel import Tracer

    _tracer = Tracer(settings.otlp_endpoint, service, settings.trace_share)


def interceptors() -> "list[Interceptor]":
    """Return the interceptors for a Temporal client; a worker uses those of its client."""
    return [] if _tracer is None else [_tracer.interceptor()]


def trace_app(app: "FastAPI") -> None:
    """Create a span for every request except health probes."""
    if _tracer is not None:
        _tracer.trace_app(app)


def trace_http(*clients: "httpx.AsyncClient") -> None:
    """Create a span for every call of these clients."""
    if _tracer is not None:
        for client in clients:
            _tracer.trace_http(client)


def subject() -> Subject:
    """Return the log fields of the current context, and its `trace_id`."""
    if _tracer is None:
        return bound()
    id = _tracer.current_trace_id()
    return bound() if id is None else {**bound(), "trace_id": id}


def flush() -> None:
    """Export the remaining spans."""
    if _tracer is not None:
        _tracer.flush()
