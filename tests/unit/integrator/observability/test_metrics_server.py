"""`/metrics` on a separate port; its failures do not stop the process."""

import http.client
import json
import socket
from collections.abc import Iterator
from urllib.request import urlopen

import pytest
from temporalio.runtime import Runtime

from devtools.devstack.ports import find_free
from integrator.observability import metrics_server
from integrator.observability.health import (
    OK,
    HealthCheck,
    ProcessHealth,
    starting,
    unhealthy,
    waiting,
)
from integrator.observability.metrics import MetricDescription, counter, markdown_table
from integrator.observability.metrics_server import MetricsServer, read_sdk_metrics, serve


@pytest.fixture(autouse=True)
def runtimes(monkeypatch: pytest.MonkeyPatch) -> list[Runtime]:
    """Collect the created runtimes, instead of setting the default of the whole test run."""
    created: list[Runtime] = []
    monkeypatch.setattr(Runtime, "set_default", lambda runtime, **_: created.append(runtime))
    return created


@pytest.fixture
def server() -> Iterator[MetricsServer]:
    (port,) = find_free("127.0.0.1", 1)
    server = serve("127.0.0.1", port)
    assert server is not None
    yield server
    server.shutdown()
    server.server_close()


def read_metrics(server: MetricsServer, path: str = "/metrics") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
    connection.request("GET", path)
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, text


def test_one_response_has_our_metrics_and_the_sdks(
    server: MetricsServer, runtimes: list[Runtime]
) -> None:
    (runtime,) = runtimes
    runtime.metric_meter.create_counter("integrator_counted_by_the_sdk").add(2, {"psp": "p"})
    status, text = read_metrics(server)
    assert status == 200
    assert 'integrator_counted_by_the_sdk_total{psp="p"} 2' in text
    assert "process_resident_memory_bytes" in text


def test_nothing_else_is_served(server: MetricsServer) -> None:
    assert [read_metrics(server, path)[0] for path in ("/", "/metric", "/metrics/")] == [
        404,
        404,
        404,
    ]
    assert read_metrics(server, "/metrics?name[]=x")[0] == 200


@pytest.mark.parametrize(
    ("check", "healthz", "readyz"),
    [
        (OK, 200, 200),
        (starting("s"), 200, 503),
        (waiting("w"), 200, 503),
        (unhealthy("u"), 503, 503),
    ],
)
@pytest.mark.usefixtures("runtimes")
def test_the_health_of_a_process_is_served(check: HealthCheck, healthz: int, readyz: int) -> None:
    (port,) = find_free("127.0.0.1", 1)
    health = ProcessHealth()
    health.beat()
    health.report({"store": check})
    server = serve("127.0.0.1", port, health)
    assert server is not None
    responses = [read_metrics(server, path) for path in ("/healthz", "/readyz")]
    server.shutdown()
    server.server_close()
    document = {"status": check.status, "event_loop": "ok", "store": check.reason or "ok"}
    assert [status for status, _ in responses] == [healthz, readyz]
    assert [json.loads(text) for _, text in responses] == [document] * 2


def test_a_process_without_health_serves_none(server: MetricsServer) -> None:
    assert [read_metrics(server, path)[0] for path in ("/healthz", "/readyz")] == [404, 404]


def test_port_0_serves_nothing(runtimes: list[Runtime]) -> None:
    assert serve("127.0.0.1", 0) is None
    assert len(runtimes) == 1  # its log is still forwarded


def test_a_process_without_temporal_serves_its_own_metrics(runtimes: list[Runtime]) -> None:
    assert metrics_server.serve_without_sdk("127.0.0.1", 0) is None
    (port,) = find_free("127.0.0.1", 1)
    server = metrics_server.serve_without_sdk("127.0.0.1", port)
    assert server is not None
    status, text = read_metrics(server)
    server.shutdown()
    server.server_close()
    assert status == 200
    assert "process_resident_memory_bytes" in text
    assert runtimes == []


def test_an_occupied_port_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert serve("127.0.0.1", other.getsockname()[1]) is None
    assert "Cannot serve metrics" in caplog.text


def test_an_unresponsive_sdk_exporter_is_only_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    (free,) = find_free("127.0.0.1", 1)
    assert read_sdk_metrics(free) == b""
    assert read_sdk_metrics(None) == b""
    assert "Cannot read the metrics" in caplog.text


def test_another_port_is_tried_when_one_is_taken(
    monkeypatch: pytest.MonkeyPatch, runtimes: list[Runtime]
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        ports = iter([other.getsockname()[1], *find_free("127.0.0.1", 1)])
        monkeypatch.setattr(metrics_server, "_free_port", lambda: next(ports))
        port = metrics_server._start_sdk_exporter()
    assert len(runtimes) == 1
    with urlopen(f"http://127.0.0.1:{port}/metrics") as response:
        assert response.status == 200


def test_a_metric_needs_our_prefix() -> None:
    with pytest.raises(ValueError, match="integrator_"):
        counter("other_total", "Not ours")


def test_the_table_is_sorted_and_shows_labels() -> None:
    metrics = [
        MetricDescription("integrator_b", "gauge", (), "Second"),
        MetricDescription("integrator_a_total", "counter", ("psp", "kind"), "First"),
    ]
    assert markdown_table(metrics).splitlines()[2:] == [
        "| `integrator_a_total` | counter | `psp`, `kind` | First |",
        "| `integrator_b` | gauge | - | Second |",
    ]
