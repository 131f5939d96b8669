"""All metrics in dashboards and alerts exist, and a real Prometheus evaluates them."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
import temporalio.bridge
from prometheus_client.parser import text_string_to_metric_families

import worker
from api import app
from integrator.observability.metrics import CATALOGUE, MetricDescription, markdown_table
from tests.e2e.observability.conftest import ObservedStack
from tests.e2e.observability.files import DASHBOARDS, find_metrics, load_rules
from tests.support.paths import ROOT
from tests.tooling.observability.prometheus import Prometheus, run_prometheus
from workflows.metrics import COUNTERS

DOCUMENT = (ROOT / "docs" / "observability.md").read_text()
WORKFLOW_METRICS = [
    MetricDescription(f"{m.name}_total", "counter", m.labels, m.description) for m in COUNTERS
]
ALL_METRICS = [*CATALOGUE, *WORKFLOW_METRICS]
HISTOGRAM_SUFFIXES = ("_bucket", "_count", "_sum")

EMPTY_EXPRESSIONS = (
    # Events that did not occur in this stack.
    "ALERTS{",
    "integrator_api_query_fallbacks_total",
    "integrator_attention_raised_total",
    "integrator_missing_keys_total",
    "integrator_orphans_total",
    "integrator_psp_call_duration_seconds_count{result",
    "integrator_reconciliation_age_seconds",  # a movement is compared after a minute
    "integrator_record_conflicts_total",
    "integrator_store_errors_total",
    "integrator_strays_open",
    "integrator_strays_open_oldest_age_seconds",
    "integrator_sweep_failures_total",
    "integrator_unsealed_results_total",
    "integrator_unusable_messages_total",
    "integrator_workflows_reopened_total",
    "integrator_reconciliation_findings_total",
    "temporal_activity_execution_failed_total",  # outages of PSPs are no failures to the SDK
    "temporal_long_request_failure_total",
    "temporal_request_failure_total",
    "temporal_sticky_cache_miss_total",
    "temporal_workflow_task_execution_failed_total",
    "integrator_api_certificate_expiry_timestamp_seconds > 0",
)


def panels() -> Iterator[tuple[str, dict[str, object], str]]:
    """Yield title, panel and expression of all targets of the dashboards."""
    for file in DASHBOARDS:
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel.get("targets", ()):
                yield f"{file.stem}: {panel['title']}", panel, target["expr"]


EXPRESSIONS = [
    *((title, expression) for title, _, expression in panels()),
    *((rule["alert"], rule["expr"]) for rule in load_rules()),
]


def substitute_variables(expression: str) -> str:
    """Replace Grafana's variables."""
    return expression.replace("$__rate_interval", "1m").replace("$psp", ".*")


@pytest.fixture(scope="module")
def prometheus(
    observed: ObservedStack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    run = observed.world.stack.run
    targets = {job: urlsplit(url).netloc for job, url in run["metrics"].items()}
    with run_prometheus(tmp_path_factory.mktemp("prometheus"), targets) as prometheus:
        prometheus.wait_for("count_over_time(up[1m]) >= 5")
        yield prometheus


def parse_metric_types(text: str) -> dict[str, str]:
    """Return the types of metrics by name; names of counters end in `_total`."""
    return {
        family.name + ("_total" if family.type == "counter" else ""): family.type
        for family in text_string_to_metric_families(text)
    }


def test_the_public_port_shows_no_metrics(observed: ObservedStack) -> None:
    api = observed.world.stack.run["api"]
    assert httpx.get(f"{api}/metrics").status_code == 404
    assert httpx.get(f"{api}/api/metrics").status_code == 404


def test_the_metrics_port_serves_nothing_else(observed: ObservedStack) -> None:
    """Except the worker's health, which has no other port."""
    for process, url in observed.world.stack.run["metrics"].items():
        assert httpx.get(url.removesuffix("/metrics")).status_code == 404
        ready = httpx.get(url.replace("/metrics", "/readyz"))
        assert ready.status_code == (200 if process == "worker" else 404)


def test_both_registries_are_in_one_response(observed: ObservedStack) -> None:
    for process in ("api", "worker"):
        types = parse_metric_types(observed.metrics(process))
        assert {"process_resident_memory_bytes", "temporal_request_total"} <= set(types)


def test_no_metric_holds_a_secret_or_an_id(observed: ObservedStack) -> None:
    text = observed.metrics("api") + observed.metrics("worker")
    assert [secret for secret in observed.secrets if secret in text] == []
    assert [id for id in observed.ids.values() if id in text] == []


def test_the_traffic_is_counted(observed: ObservedStack, prometheus: Prometheus) -> None:
    for expression in (
        'integrator_api_requests_total{route="/api/Payment",method="POST",status="200"} > 3',
        'integrator_api_requests_total{route="/api/Payment/{transactionId}",status="404"} == 1',
        'integrator_api_errors_total{code="InsufficientBalance",status="422"} == 1',
        'integrator_notifications_received_total{psp="sandbox",result="rejected"} == 1',
        'integrator_outcomes_total{kind="payment",status="Failed",code="InsufficientBalance"} >= 1',
        # A workflow task that is repeated on a busy machine counts again.
        'integrator_outcomes_total{kind="refund",status="Succeeded",psp="sandbox"} >= 1',
        'integrator_psp_call_duration_seconds_count{operation="charge",result="throttled"} == 1',
        'integrator_psp_unknown_outcomes_total{psp="sandbox",operation="charge"} >= 2',
        'integrator_psp_repeated_calls_total{operation="charge"} >= 3',
        'integrator_webhook_attempts_total{result="http_5xx"} >= 1',
        "integrator_webhook_delay_seconds_count >= 1",
        'integrator_notification_lag_seconds_count{psp="sandbox"} >= 1',
        'integrator_reconciliation_steps_total{merchant="demo",step="sample",result="done"} >= 1',
        "time() - integrator_figures_read_timestamp_seconds < 30",
        'integrator_store_duration_seconds_count{job="worker",access="write"} > 1',
    ):
        prometheus.wait_for(expression)


@pytest.mark.parametrize(("where", "expression"), EXPRESSIONS, ids=[w for w, _ in EXPRESSIONS])
def test_prometheus_evaluates_every_expression(
    prometheus: Prometheus, where: str, expression: str
) -> None:
    result = prometheus.query(substitute_variables(expression))
    is_alert = ":" not in where
    if not is_alert and not any(part in expression for part in EMPTY_EXPRESSIONS):
        assert result, f"{expression} has no result"


def test_prometheus_evaluates_the_rules_without_errors(prometheus: Prometheus) -> None:
    prometheus.wait_for("prometheus_rule_group_last_evaluation_timestamp_seconds > 0")
    groups = prometheus.get("rules")["groups"]
    evaluated = [rule for group in groups for rule in group["rules"]]
    assert len(evaluated) == len(load_rules())
    assert [rule["name"] for rule in evaluated if rule["health"] == "err"] == []
    firing = {rule["name"] for rule in evaluated if rule["state"] == "firing"}
    assert not {"TargetDown", "NoWorker"} & firing


def test_every_metric_in_an_expression_is_exported(observed: ObservedStack) -> None:
    exported = set(parse_metric_types(observed.metrics("api"))) | set(
        parse_metric_types(observed.metrics("worker"))
    )
    library = Path(temporalio.bridge.__file__ or "").parent
    (native,) = library.glob("*bridge*.so")
    sdk_binary = native.read_bytes()
    named = set().union(
        *(find_metrics(substitute_variables(expression)) for _, expression in EXPRESSIONS)
    )
    missing = {name for name in named if not {name, histogram_name(name)} & exported}
    # The SDK exports a metric only after its first value.
    not_counted = {name for name in missing if name.startswith("temporal_")}
    not_counted = {n for n in not_counted if n[9:].removesuffix("_total").encode() in sdk_binary}
    from_workflows = {metric.name for metric in WORKFLOW_METRICS}
    assert missing - not_counted - from_workflows == set()


def histogram_name(name: str) -> str:
    """Return the histogram that a series belongs to."""
    return next(
        (name.removesuffix(part) for part in HISTOGRAM_SUFFIXES if name.endswith(part)), name
    )


def test_every_metric_is_on_a_dashboard() -> None:
    shown = {
        histogram_name(name) for _, _, expression in panels() for name in find_metrics(expression)
    }
    assert {metric.name for metric in ALL_METRICS} - shown == set()


def test_every_panel_has_a_description_and_a_unit() -> None:
    for title, panel, _ in panels():
        assert len(str(panel["description"])) >= 20, title
        defaults = panel["fieldConfig"]["defaults"]  # type: ignore[index]
        assert defaults["unit"], title


def test_the_documented_metrics_match_the_code() -> None:
    assert worker.WORKFLOWS
    assert app.CONTRACT_ROUTERS  # imported, so that the catalogue is complete
    documented = DOCUMENT.split("<!-- metrics -->")[1].split("<!-- /metrics -->")[0]
    assert documented.strip() == markdown_table(ALL_METRICS).strip()


def test_names_follow_the_conventions() -> None:
    for metric in ALL_METRICS:
        assert re.fullmatch(r"integrator_[a-z0-9_]+", metric.name)
        assert metric.name.endswith("_total") is (metric.type == "counter"), metric.name
        assert metric.type != "histogram" or metric.name.endswith("_seconds"), metric.name
        assert not id_labels(metric.labels), metric.name


def id_labels(labels: Sequence[str]) -> set[str]:
    return {"transaction", "transaction_id", "workflow_id", "agreement", "id"} & set(labels)
