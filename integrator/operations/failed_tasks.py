"""Workflow tasks that failed in a worker, from its metrics."""

import httpx
from prometheus_client.parser import text_string_to_metric_families

from integrator.admin.errors import OperatorError
from integrator.healthcheck import LOOPBACK
from integrator.settings import PREFIX, Settings

METRIC = "temporal_workflow_task_execution_failed_total"
"""Of the SDK. It has no samples before the first failure."""

TIMEOUT_S = 5.0


def count_failed_tasks(settings: Settings) -> int:
    """Return the number since the start of the worker on this host.

    Raises `OperatorError` if the worker does not serve its metrics.
    """
    port = settings.worker_metrics_port
    if port == 0:
        raise OperatorError(f"This worker serves no metrics: {PREFIX}WORKER_METRICS_PORT is 0.")
    host = LOOPBACK.get(settings.metrics_bind, settings.metrics_bind)
    url = httpx.URL(scheme="http", host=host, port=port, path="/metrics")
    try:
        response = httpx.get(url, timeout=TIMEOUT_S, trust_env=False).raise_for_status()
    except httpx.HTTPError as error:
        raise OperatorError(
            f"The worker's metrics at {url} cannot be read ({type(error).__name__}). Run this "
            "command where the worker runs, with its settings."
        ) from error
    return round(
        sum(
            sample.value
            for family in text_string_to_metric_families(response.text)
            for sample in family.samples
            if sample.name == METRIC
        )
    )
