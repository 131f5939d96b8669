"""An OpenTelemetry collector that stores the spans it receives."""

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class Span:
    """Span as received; ids in hexadecimal.

    `linked` are the ids of other traces it links to, `text` is its complete content.
    """

    service: str
    name: str
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, str]
    linked: tuple[str, ...]
    text: str


@dataclass
class Collector:
    """Received spans, and the port of the collector."""

    port: int
    spans: list[Span] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        """Return the value of `INTEGRATOR_OTLP_ENDPOINT`."""
        return f"http://127.0.0.1:{self.port}"

    def find_trace(self, name: str, **attributes: str) -> list[Span]:
        """Return all spans of the newest trace with a span of this name and these attributes."""
        for span in reversed(self.spans):
            if span.name == name and attributes.items() <= span.attributes.items():
                return [other for other in self.spans if other.trace_id == span.trace_id]
        return []

    def add(self, request: ExportTraceServiceRequest) -> None:
        """Store the spans of one request."""
        for resource in request.resource_spans:
            service = {a.key: a.value.string_value for a in resource.resource.attributes}
            for scope in resource.scope_spans:
                for span in scope.spans:
                    attributes = {
                        a.key: str(getattr(a.value, a.value.WhichOneof("value") or "string_value"))
                        for a in span.attributes
                    }
                    self.spans.append(
                        Span(
                            service["service.name"],
                            span.name,
                            span.trace_id.hex(),
                            span.span_id.hex(),
                            span.parent_span_id.hex(),
                            attributes,
                            tuple(link.trace_id.hex() for link in span.links),
                            str(resource.resource) + str(span),
                        )
                    )


@contextmanager
def run_collector() -> Iterator[Collector]:
    """Run a collector on a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            collector.add(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.end_headers()

        def log_message(self, _format: str, *args: object) -> None:
            """Do not log requests."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(server.server_port)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
