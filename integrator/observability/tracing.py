"""Traces, if an endpoint for them is configured; else nothing that makes them is even imported.

One trace leads from a request through its workflow and activities to the PSP. Nothing of it goes
to strangers: no call to a PSP or to a webhook's target carries a trace header, and none that
comes in with a request is believed.
"""

from typing import TYPE_CHECKING

from integrator.observability.log_setup import Subject, bound
from integrator.settings import Settings

if TYPE_CHECKING:  # each process has its own half of these
    import httpx
    from fastapi import FastAPI
    from temporalio.client import Interceptor

    from integrator.observability.otel import Tracer

_tracer: "Tracer | None" = None


def set_up(settings: Settings, service: str) -> None:
    """Trace from now on as `service`, if an endpoint is configured; before anything connects."""
    global _tracer
    if settings.otlp_endpoint is None:
        return
    from integrator.observability.otel import Tracer

    _tracer = Tracer(settings.otlp_endpoint, service, settings.trace_share)


def interceptors() -> "list[Interceptor]":
    """What a Temporal client has to be given; workers take it over from their client."""
    return [] if _tracer is None else [_tracer.interceptor()]


def trace_app(app: "FastAPI") -> None:
    """A span for every request but the probes'."""
    if _tracer is not None:
        _tracer.trace_app(app)


def trace_http(*clients: "httpx.AsyncClient") -> None:
    """A span for every call of these clients."""
    if _tracer is not None:
        for client in clients:
            _tracer.trace_http(client)


def subject() -> Subject:
    """What was told of the present piece of work, and its `trace_id`."""
    if _tracer is None:
        return bound()
    id = _tracer.current_id()
    return bound() if id is None else {**bound(), "trace_id": id}


def flush() -> None:
    """Send what has not been sent yet."""
    if _tracer is not None:
        _tracer.flush()
