"""OpenTelemetry as it is used here; imported only when traces are wanted.

Spans leave with the attributes named below and no others, whatever a library would like to say:
no address with its query, no header, no body, no text of an exception.
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

SHOWN = frozenset(
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
"""The attributes that leave this process."""

PROBES = "/healthz$,/readyz$"

EXPORT_SECONDS = 3
"""A collector that is away holds up nothing but the end of a process, and not for longer."""


class Tracer:
    """The traces of one process, sent to `endpoint` in the background.

    `share` of the requests are traced, from end to end.
    """

    def __init__(self, endpoint: str, service: str, share: float = 1.0) -> None:
        propagate.set_global_textmap(Silence())
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces", timeout=EXPORT_SECONDS)
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": service}),
            sampler=ParentBased(TraceIdRatioBased(share)),
        )
        self._provider.add_span_processor(BatchSpanProcessor(DiscreetExporter(exporter)))

    def interceptor(self) -> TracingInterceptor:
        """For a Temporal client; it carries the trace in headers of its own."""
        return TracingInterceptor(self._provider.get_tracer("temporalio"))

    def trace_app(self, app: FastAPI) -> None:
        """A span for every request but the probes'."""
        FastAPIInstrumentor.instrument_app(
            app,
            tracer_provider=self._provider,
            excluded_urls=PROBES,
            exclude_spans=["receive", "send"],
        )

    def trace_http(self, client: httpx.AsyncClient) -> None:
        """A span for every call of this client."""
        HTTPXClientInstrumentor.instrument_client(client, tracer_provider=self._provider)

    def current_id(self) -> str | None:
        """The id of the trace that this code belongs to, in hexadecimal."""
        context = trace.get_current_span().get_span_context()
        return trace.format_trace_id(context.trace_id) if context.is_valid else None

    def flush(self) -> None:
        """Send what is there and end; waits for `EXPORT_SECONDS` at most."""
        self._provider.shutdown()


class Silence(TextMapPropagator):
    """Whom we call is not told our ids, and nobody who calls us chooses them."""

    def extract(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        getter: Getter[CarrierT] = default_getter,
    ) -> Context:
        """Nothing is believed."""
        return get_current() if context is None else context

    def inject(
        self,
        carrier: CarrierT,
        context: Context | None = None,
        setter: Setter[CarrierT] = default_setter,
    ) -> None:
        """Nothing is told."""

    @property
    def fields(self) -> set[str]:
        """None is used."""
        return set()


class DiscreetExporter(SpanExporter):
    """Passes spans on with what is shown of them."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Send them, stripped."""
        return self._exporter.export([stripped(span) for span in spans])

    def shutdown(self) -> None:
        """As the exporter within."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """As the exporter within."""
        return self._exporter.force_flush(timeout_millis)


def stripped(span: ReadableSpan) -> ReadableSpan:
    """The span without whatever is not named in `SHOWN`."""
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=_shown(span.attributes),
        events=[Event(e.name, _shown(e.attributes), e.timestamp) for e in span.events],
        links=span.links,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _shown(attributes: Mapping[str, AttributeValue] | None) -> dict[str, AttributeValue]:
    return {name: value for name, value in (attributes or {}).items() if name in SHOWN}
