"""OpenTelemetry tracing; imported only when tracing is configured.

Spans are exported with the attributes listed below only: no URL with its query, no header, no body
and no text of an exception.
"""

from collections.abc import Mapping, Sequence

import httpx
from fastapi import FastAPI
from opentelemetry import propagate, trace
from opentelemetry.context import Context, get_current
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.httpx import HTTPXClientInstrumentor
from opentelemetry.propagators.textmap import (
    CarrierT,
    Getter,
    Setter,
    TextMapPropagator,
    default_getter,
    default_setter,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Status
from opentelemetry.util.types import AttributeValue
from temporalio.contrib.opentelemetry import TracingInterceptor

EXPORTED_ATTRIBUTES = frozenset(
    {
        "error.type",
        "exception.type",
        "http.method",
        "http.request.method",
        "http.response.status_code",
        "http.route",
        "http.status_code",
        "net.peer.name",
        "net.peer.port",
        "server.address",
        "server.port",
        "temporalActivityID",
        "temporalActivityType",
        "temporalRunID",
        "temporalUpdateID",
        "temporalWorkflowID",
    }
)
"""Attributes of spans that are exported."""

PROBE_URLS = "/healthz$,/readyz$"

EXPORT_TIMEOUT_S = 3
"""An unavailable collector delays the end of a process by at most this time, and nothing else."""


class Tracer:
    """Traces of one process, exported to `endpoint` in the background.

    `share` is the share of requests that are traced, end to end.
    """

    def __init__(self, endpoint: str, service: str, share: float = 1.0) -> None:
        propagate.set_global_textmap(NoPropagation())
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_TIMEOUT_S)
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": service}),
            sampler=ParentBased(TraceIdRatioBased(share)),
        )
        self._provider.add_span_processor(BatchSpanProcessor(RedactingExporter(exporter)))

    def interceptor(self) -> TracingInterceptor:
        """Return the interceptor for a Temporal client; it passes the trace in Temporal headers."""
        return TracingInterceptor(self._provider.get_tracer("temporalio"))

    def trace_app(self, app: FastAPI) -> None:
        """Create a span for every request except health probes."""
        FastAPIInstrumentor.instrument_app(
            app,
            tracer_provider=self._provider,
            excluded_urls=PROBE_URLS,
            exclude_spans=["receive", "send"],
        )

    def trace_http(self, client: httpx.AsyncClient) -> None:
        """Create a span for every call of this client."""
        HTTPXClientInstrumentor.instrument_client(client, tracer_provider=self._provider)

    def current_trace_id(self) -> str | None:
        """Return the current trace id in hexadecimal."""
        context = trace.get_current_span().get_span_context()
        return trace.format_trace_id(context.trace_id) if context.is_valid else None

    def flush(self) -> None:
        """Export the remaining spans and shut down; waits for `EXPORT_TIMEOUT_S` at most."""
        self._provider.shutdown()


class NoPropagation(TextMapPropagator):
    """Propagator that neither sends trace ids to others nor accepts theirs."""

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        """Ignore the carrier."""
        return get_current() if context is None else context

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        """Add nothing to the carrier."""

    @property
    def fields(self) -> set[str]:
        """Return no field names."""
        return set()


class RedactingExporter(SpanExporter):
    """Exporter that removes all attributes but the exported ones from spans."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Export the redacted spans."""
        return self._exporter.export([redact_span(span) for span in spans])

    def shutdown(self) -> None:
        """Shut down the wrapped exporter."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the wrapped exporter."""
        return self._exporter.force_flush(timeout_millis)


def redact_span(span: ReadableSpan) -> ReadableSpan:
    """Return the span with the attributes in `EXPORTED_ATTRIBUTES` only."""
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_filter_attributes(span.attributes),
        events=[Event(e.name, _filter_attributes(e.attributes), e.timestamp) for e in span.events],
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _filter_attributes(
    attributes: Mapping[str, AttributeValue] | None,
) -> dict[str, AttributeValue]:
    return {
        name: value for name, value in (attributes or {}).items() if name in EXPORTED_ATTRIBUTES
    }
