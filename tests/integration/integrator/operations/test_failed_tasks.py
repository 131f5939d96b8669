"""Test the count of failed workflow tasks that stops an upgrade."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from integrator.admin.errors import OperatorError
from integrator.operations.failed_tasks import METRIC, count_failed_tasks
from integrator.settings import Settings

NONE_FAILED = "# TYPE temporal_worker_start_total counter\ntemporal_worker_start_total 2\n"
SOME_FAILED = f"""\
# TYPE {METRIC} counter
{METRIC}{{failure_reason="NonDeterminismError",workflow_type="PaymentWorkflow"}} 2
{METRIC}{{failure_reason="WorkflowError",workflow_type="RefundWorkflow"}} 1
"""


class Metrics(HTTPServer):
    """Server of a worker's metrics; `body` None answers 503."""

    body: str | None = NONE_FAILED


class Handler(BaseHTTPRequestHandler):
    server: Metrics

    def do_GET(self) -> None:
        body = self.server.body
        self.send_response(503 if body is None else 200)
        self.end_headers()
        self.wfile.write((body or "").encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    with Metrics(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def of_worker(folder: Path, port: int) -> Settings:
    return Settings(data_dir=folder, worker_metrics_port=port, metrics_bind="0.0.0.0")  # noqa: S104


def test_failures_of_all_workflows_are_counted(metrics: Metrics, tmp_path: Path) -> None:
    settings = of_worker(tmp_path, metrics.server_port)
    assert count_failed_tasks(settings) == 0
    metrics.body = NONE_FAILED + SOME_FAILED
    assert count_failed_tasks(settings) == 3


def test_a_worker_without_metrics_is_an_error(metrics: Metrics, tmp_path: Path) -> None:
    """An unknown number must not look like none."""
    metrics.body = None
    with pytest.raises(OperatorError, match=r"cannot be read \(HTTPStatusError\)"):
        count_failed_tasks(of_worker(tmp_path, metrics.server_port))
    with pytest.raises(OperatorError, match="INTEGRATOR_WORKER_METRICS_PORT is 0"):
        count_failed_tasks(of_worker(tmp_path, 0))
