"""What is shown and alerted on exists, and a real Prometheus understands all of it."""

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
from integrator.observability.metrics import CATALOGUE, Described, table
from tests.observability.conftest import Watched
from tests.observability.files import DASHBOARDS, ROOT, metrics_in, rules
from tests.observability.prometheus import Prometheus, scraping
from workflows.metrics import METERS

DOCUMENT = (ROOT / "docs" / "observability.md").read_text()
SDK = [Described(f"{m.name}_total", "counter", m.labels, m.meaning) for m in METERS]
OURS = [*CATALOGUE, *SDK]
PARTS = ("_bucket", "_count", "_sum")

SILENT = (
    # What did not happen to this stack cannot be seen in it.
    "integrator_api_query_fallbacks_total",
    "integrator_attention_raised_total",
    "integrator_orphans_total",
    "integrator_psp_call_duration_seconds_count{result",
    "integrator_reconciliation_age_seconds",  # a movement is compared after a minute
    "integrator_record_conflicts_total",
    "integrator_store_errors_total",
    "integrator_strays_open",
    "integrator_strays_open_oldest_age_seconds",
    "integrator_sweep_failures_total",
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
    """Title, panel and expression of everything that the dashboards show."""
    for file in DASHBOARDS:
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel.get("targets", ()):
                yield f"{file.stem}: {panel['title']}", panel, target["expr"]


EXPRESSIONS = [
    *((title, expression) for title, _, expression in panels()),
    *((rule["alert"], rule["expr"]) for rule in rules()),
]


def filled(expression: str) -> str:
    """As Grafana sends it."""
    return expression.replace("$__rate_interval", "1m").replace("$psp", ".*")


@pytest.fixture(scope="module")
def prometheus(watched: Watched, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    run = watched.world.stack.run
    targets = {job: urlsplit(url).netloc for job, url in run["metrics"].items()}
    with scraping(tmp_path_factory.mktemp("prometheus"), targets) as prometheus:
        prometheus.wait_for("count_over_time(up[1m]) >= 5")
        yield prometheus


def families(text: str) -> dict[str, str]:
    """Name to type; counters with their `_total`."""
    return {
        family.name + ("_total" if family.type == "counter" else ""): family.type
        for family in text_string_to_metric_families(text)
    }


def test_the_public_port_shows_no_metrics(watched: Watched) -> None:
    api = watched.world.stack.run["api"]
    assert httpx.get(f"{api}/metrics").status_code == 404
    assert httpx.get(f"{api}/api/metrics").status_code == 404


def test_the_metrics_port_shows_nothing_else(watched: Watched) -> None:
    for url in watched.world.stack.run["metrics"].values():
        assert httpx.get(url.removesuffix("/metrics")).status_code == 404
        assert httpx.get(url.replace("/metrics", "/readyz")).status_code == 404


def test_both_registries_are_in_one_answer(watched: Watched) -> None:
    for process in ("api", "worker"):
        found = families(watched.metrics(process))
        assert {"process_resident_memory_bytes", "temporal_request_total"} <= set(found)


def test_no_metric_holds_a_secret_or_an_id(watched: Watched) -> None:
    text = watched.metrics("api") + watched.metrics("worker")
    assert [secret for secret in watched.secrets if secret in text] == []
    assert [id for id in watched.ids.values() if id in text] == []


def test_what_was_played_was_counted(watched: Watched, prometheus: Prometheus) -> None:
    for expression in (
        'integrator_api_requests_total{route="/api/Payment",method="POST",status="200"} > 3',
        'integrator_api_requests_total{route="/api/Payment/{transactionId}",status="404"} == 1',
        'integrator_api_errors_total{code="InsufficientBalance",status="422"} == 1',
        'integrator_notifications_received_total{psp="sandbox",result="rejected"} == 1',
        'integrator_outcomes_total{kind="payment",status="Failed",code="InsufficientBalance"} == 1',
        'integrator_outcomes_total{kind="refund",status="Succeeded",psp="sandbox"} == 1',
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
def test_every_expression_is_understood(
    prometheus: Prometheus, where: str, expression: str
) -> None:
    found = prometheus.query(filled(expression))
    is_alert = ":" not in where
    if not is_alert and not any(silent in expression for silent in SILENT):
        assert found, f"{expression} shows nothing"


def test_the_rules_are_judged_without_errors(prometheus: Prometheus) -> None:
    prometheus.wait_for("prometheus_rule_group_last_evaluation_timestamp_seconds > 0")
    groups = prometheus.get("rules")["groups"]
    judged = [rule for group in groups for rule in group["rules"]]
    assert len(judged) == len(rules())
    assert [rule["name"] for rule in judged if rule["health"] == "err"] == []
    firing = {rule["name"] for rule in judged if rule["state"] == "firing"}
    assert not {"TargetDown", "NoWorker"} & firing


def test_every_metric_that_is_named_is_exported(watched: Watched) -> None:
    shown = set(families(watched.metrics("api"))) | set(families(watched.metrics("worker")))
    library = Path(temporalio.bridge.__file__ or "").parent
    (native,) = library.glob("*bridge*.so")
    known = native.read_bytes()
    wanted = set().union(*(metrics_in(filled(expression)) for _, expression in EXPRESSIONS))
    missing = {name for name in wanted if not {name, base(name)} & shown}
    # The SDK shows a metric only after it has counted something.
    unheard = {name for name in missing if name.startswith("temporal_")}
    unheard = {n for n in unheard if n[9:].removesuffix("_total").encode() in known}
    ours = {one.name for one in SDK}
    assert missing - unheard - ours == set()


def base(name: str) -> str:
    """The histogram that a series belongs to."""
    return next((name.removesuffix(part) for part in PARTS if name.endswith(part)), name)


def test_no_metric_is_for_nobody() -> None:
    """Each is on a dashboard."""
    shown = {base(name) for _, _, expression in panels() for name in metrics_in(expression)}
    assert {one.name for one in OURS} - shown == set()


def test_every_panel_explains_itself() -> None:
    for title, panel, _ in panels():
        assert len(str(panel["description"])) >= 20, title
        defaults = panel["fieldConfig"]["defaults"]  # type: ignore[index]
        assert defaults["unit"], title


def test_the_table_of_metrics_is_the_codes_own() -> None:
    assert worker.WORKFLOWS
    assert app.FOR_THE_PLATFORM  # imported, so everything is in the catalogue
    shown = DOCUMENT.split("<!-- metrics -->")[1].split("<!-- /metrics -->")[0]
    assert shown.strip() == table(OURS).strip()


def test_names_follow_the_conventions() -> None:
    for one in OURS:
        assert re.fullmatch(r"integrator_[a-z0-9_]+", one.name)
        assert one.name.endswith("_total") is (one.shape == "counter"), one.name
        assert one.shape != "histogram" or one.name.endswith("_seconds"), one.name
        assert not _ids(one.labels), one.name


def _ids(labels: Sequence[str]) -> set[str]:
    return {"transaction", "transaction_id", "workflow_id", "agreement", "id"} & set(labels)
