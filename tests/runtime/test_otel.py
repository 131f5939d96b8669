"""What a span may say, and to whom."""

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
from integrator.observability.otel import EXPORT_SECONDS, DiscreetExporter, Tracer
from integrator.settings import Settings

INCOMING = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def tracer(spans: InMemorySpanExporter) -> Iterator[Tracer]:
    """One that keeps its spans, discreetly."""
    before = propagate.get_global_textmap()
    tracer = Tracer("http://127.0.0.1:1", "test")
    tracer.flush()
    tracer._provider = TracerProvider()
    tracer._provider.add_span_processor(SimpleSpanProcessor(DiscreetExporter(spans)))
    yield tracer
    propagate.set_global_textmap(before)


async def test_a_call_tells_the_psp_nothing_and_the_collector_little(
    tracer: Tracer, spans: InMemorySpanExporter
) -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(402, json={"iban": "DE89"})

    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
        tracer.trace_http(client)
        headers = {"Authorization": "Bearer secret-key"}
        url = "https://psp.example/v1/customers/cus_personal?reference=ref&iban=DE89"
        await client.post(url, headers=headers, json={"iban": "DE89"})
    assert not {"traceparent", "tracestate", "baggage"} & set(sent[0].headers)
    (span,) = spans.get_finished_spans()
    told = span.to_json()
    for word in ("secret-key", "DE89", "cus_personal", "reference"):
        assert word not in told
    assert dict(span.attributes or {})["http.status_code"] == 402


async def test_a_request_chooses_no_trace_and_its_query_stays_here(
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
        answer = await client.get("/things/t-1?token=hidden", headers=headers)
    assert answer.status_code == 500
    (span,) = spans.get_finished_spans()
    assert span.name == "GET /things/{id}"
    assert span.context is not None
    assert f"{span.context.trace_id:032x}" not in INCOMING
    told = span.to_json()
    for word in ("hidden", "quotes", "spy", "203.0.113.7", "t-1"):
        assert word not in told
    assert "ValueError" in told


def test_a_collector_that_hangs_does_not_keep_a_process_from_ending() -> None:
    """Takes the three seconds that are granted."""
    before = propagate.get_global_textmap()
    with socket.socket() as collector:
        collector.bind(("127.0.0.1", 0))
        collector.listen()
        tracer = Tracer(f"http://127.0.0.1:{collector.getsockname()[1]}", "test")
        with tracer._provider.get_tracer("test").start_as_current_span("work"):
            pass
        began = time.monotonic()
        tracer.flush()
    propagate.set_global_textmap(before)
    assert time.monotonic() - began < EXPORT_SECONDS + 2


TRACING = ("opentelemetry.sdk", "opentelemetry.exporter", "opentelemetry.instrumentation")


def test_without_an_endpoint_nothing_of_it_is_imported() -> None:
    code = (
        "import sys, worker, api.app; from integrator.observability import tracing;"
        "from integrator.settings import Settings; tracing.set_up(Settings(), 'x');"
        "assert tracing.interceptors() == [];"
        f"print([name for name in sys.modules if name.startswith({TRACING!r})])"
    )
    environment = {k: v for k, v in os.environ.items() if not k.startswith("INTEGRATOR_")}
    ran = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"


def test_the_frameworks_own_telemetry_is_off() -> None:
    """It knows bodies, and sends them where an environment variable says."""
    assert not create_app(Settings())._native_telemetry.enabled()
