"""`/metrics` on a port of its own, which may fail without doing harm."""

import http.client
import socket
from collections.abc import Iterator
from urllib.request import urlopen

import pytest
from temporalio.runtime import Runtime

from devtools.devstack.ports import find_free
from integrator.observability import metrics_server
from integrator.observability.metrics import Described, counter, table
from integrator.observability.metrics_server import Server, sdk_text, serve


@pytest.fixture(autouse=True)
def runtimes(monkeypatch: pytest.MonkeyPatch) -> list[Runtime]:
    """Those made, instead of setting the default of the whole test run."""
    made: list[Runtime] = []
    monkeypatch.setattr(Runtime, "set_default", lambda runtime, **_: made.append(runtime))
    return made


@pytest.fixture
def server() -> Iterator[Server]:
    (port,) = find_free("127.0.0.1", 1)
    server = serve("127.0.0.1", port)
    assert server is not None
    yield server
    server.shutdown()
    server.server_close()


def read(server: Server, path: str = "/metrics") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
    connection.request("GET", path)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_our_figures_and_the_sdks_in_one_answer(server: Server, runtimes: list[Runtime]) -> None:
    (runtime,) = runtimes
    runtime.metric_meter.create_counter("integrator_counted_by_the_sdk").add(2, {"psp": "p"})
    status, text = read(server)
    assert status == 200
    assert 'integrator_counted_by_the_sdk_total{psp="p"} 2' in text
    assert "process_resident_memory_bytes" in text


def test_nothing_else_is_served(server: Server) -> None:
    assert [read(server, path)[0] for path in ("/", "/metric", "/metrics/")] == [404, 404, 404]
    assert read(server, "/metrics?name[]=x")[0] == 200


def test_port_0_serves_nothing(runtimes: list[Runtime]) -> None:
    assert serve("127.0.0.1", 0) is None
    assert len(runtimes) == 1  # its log still comes to us


def test_a_port_that_is_taken_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        assert serve("127.0.0.1", other.getsockname()[1]) is None
    assert "No metrics are served" in caplog.text


def test_an_sdk_that_does_not_answer_costs_its_own_figures_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    (free,) = find_free("127.0.0.1", 1)
    assert sdk_text(free) == b""
    assert sdk_text(None) == b""
    assert "not shown" in caplog.text


def test_another_port_is_tried_when_somebody_was_faster(
    monkeypatch: pytest.MonkeyPatch, runtimes: list[Runtime]
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        ports = iter([other.getsockname()[1], *find_free("127.0.0.1", 1)])
        monkeypatch.setattr(metrics_server, "_free_port", lambda: next(ports))
        port = metrics_server._start_sdk()
    assert len(runtimes) == 1
    with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        assert answer.status == 200


def test_a_metric_needs_our_prefix() -> None:
    with pytest.raises(ValueError, match="integrator_"):
        counter("other_total", "Not ours")


def test_the_table_is_sorted_and_shows_labels() -> None:
    metrics = [
        Described("integrator_b", "gauge", (), "Second"),
        Described("integrator_a_total", "counter", ("psp", "kind"), "First"),
    ]
    assert table(metrics).splitlines()[2:] == [
        "| `integrator_a_total` | counter | `psp`, `kind` | First |",
        "| `integrator_b` | gauge | - | Second |",
    ]
