"""Exported attributes of spans, and propagation of trace ids."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from opentelemetry import propagate
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from api.app import create_app
from integrator.observability.otel import EXPORT_TIMEOUT_S, RedactingExporter, Tracer
from integrator.settings import Settings

INCOMING = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracer(spans: InMemorySpanExporter) -> Iterator[Tracer]:
    """Return a tracer that exports redacted spans to memory."""
    before = propagate.get_global_textmap()
    tracer = Tracer("http://127.0.0.1:1", "test")
    tracer.flush()
    tracer._provider = TracerProvider()
    tracer._provider.add_span_processor(SimpleSpanProcessor(RedactingExporter(spans)))
    yield tracer
    propagate.set_global_textmap(before)


async def test_a_call_sends_no_trace_header_and_no_secret_to_the_collector(
    tracer: Tracer, spans: InMemorySpanExporter
) -> None:
    sent: list[httpx.Request] = []

    def respond(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(402, json={"iban": "DE89"})

    async with httpx.AsyncClient(transport=httpx.MockTransport(respond)) as client:
        tracer.trace_http(client)
        headers = {"Authorization": "Bearer secret-key"}
        url = "https://psp.example/v1/customers/cus_personal?reference=ref&iban=DE89"
        await client.post(url, headers=headers, json={"iban": "DE89"})
    assert not {"traceparent", "tracestate", "baggage"} & set(sent[0].headers)
    (span,) = spans.get_finished_spans()
    exported = span.to_json()
    for word in ("secret-key", "DE89", "cus_personal", "reference"):
        assert word not in exported
    assert dict(span.attributes or {})["http.status_code"] == 402


async def test_incoming_trace_headers_are_ignored_and_queries_not_exported(
    tracer: Tracer, spans: InMemorySpanExporter
) -> None:
    app = FastAPI()

    @app.get("/things/{id}")
    async def thing(id: str) -> str:
        raise ValueError(f"quotes personal data of {id}")

    tracer.trace_app(app)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        headers = {"traceparent": INCOMING, "User-Agent": "spy", "X-Forwarded-For": "203.0.113.7"}
        response = await client.get("/things/t-1?token=hidden", headers=headers)
    assert response.status_code == 500
    (span,) = spans.get_finished_spans()
    assert span.name == "GET /things/{id}"
    assert span.context is not None
    assert f"{span.context.trace_id:032x}" not in INCOMING
    exported = span.to_json()
    for word in ("hidden", "quotes", "spy", "203.0.113.7", "t-1"):
        assert word not in exported
    assert "ValueError" in exported


def test_an_unresponsive_collector_does_not_block_the_end_of_a_process() -> None:
    """Takes the export timeout of three seconds."""
    before = propagate.get_global_textmap()
    with socket.socket() as collector:
        collector.bind(("127.0.0.1", 0))
        collector.listen()
        tracer = Tracer(f"http://127.0.0.1:{collector.getsockname()[1]}", "test")
        with tracer._provider.get_tracer("test").start_as_current_span("work"):
            pass
        started = time.monotonic()
        tracer.flush()
    propagate.set_global_textmap(before)
    assert time.monotonic() - started < EXPORT_TIMEOUT_S + 2


TRACING = ("opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.instrumentation")


def test_without_an_endpoint_opentelemetry_is_not_imported() -> None:
    code = (
        "import sys, worker, api.app; from integrator.observability import tracing;"
        "from integrator.settings import Settings; tracing.set_up(Settings(), 'x');"
        "assert tracing.interceptors() == [];"
        f"print([name for name in sys.modules if name.startswith({TRACING!r})])"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("INTEGRATOR_")}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


def test_the_frameworks_own_telemetry_is_off() -> None:
    """It includes bodies and exports them to an endpoint of an environment variable."""
    assert not create_app(Settings())._native_telemetry.enabled()
