"""What the worker counts and shows of what waits."""

from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from integrator.jobs.backlog_metrics import FiguresCollector
from integrator.observability import worker_metrics
from integrator.store.backlog import Compared, Figures, Waiting
from workflows.messages import StepReport

NOW = 1_800_000_000.0
AT = datetime.fromtimestamp(NOW, UTC)


def figures(*undecided: Waiting) -> Figures:
    compared = [Compared("demo", "sandbox", AT - timedelta(minutes=5))]
    return Figures(list(undecided), [], [], [], [Waiting(("demo",), 2, AT)], compared)


class TestFigures:
    @pytest.fixture
    def clock(self) -> list[float]:
        return [NOW]

    @pytest.fixture
    def collector(self, clock: list[float]) -> FiguresCollector:
        return FiguresCollector(lambda: clock[0])

    @pytest.fixture
    def registry(self, collector: FiguresCollector) -> CollectorRegistry:
        registry = CollectorRegistry()
        registry.register(collector)
        return registry

    def test_nothing_is_shown_before_anything_was_read(self, registry: CollectorRegistry) -> None:
        assert list(registry.collect()) == []

    def test_ages_go_on_growing_when_nothing_is_read_any_more(
        self, registry: CollectorRegistry, collector: FiguresCollector, clock: list[float]
    ) -> None:
        since = AT - timedelta(hours=1)
        collector.take(figures(Waiting(("payment", "Debit"), 3, since)))
        labels = {"kind": "payment", "role": "Debit"}
        count = "integrator_transactions_undecided"
        age = "integrator_transactions_undecided_oldest_age_seconds"
        assert registry.get_sample_value(count, labels) == 3
        assert registry.get_sample_value(age, labels) == 3600
        clock[0] += 60
        assert registry.get_sample_value(age, labels) == 3660
        assert registry.get_sample_value("integrator_figures_read_timestamp_seconds") == NOW
        behind = {"merchant": "demo", "psp": "sandbox"}
        assert registry.get_sample_value("integrator_reconciliation_age_seconds", behind) == 360

    def test_what_waits_no_more_is_shown_as_none(
        self, registry: CollectorRegistry, collector: FiguresCollector
    ) -> None:
        labels = {"kind": "payment", "role": "MobilePay"}
        collector.take(figures(Waiting(("payment", "MobilePay"), 3, AT)))
        list(registry.collect())
        collector.take(figures())
        assert registry.get_sample_value("integrator_transactions_undecided", labels) == 0
        undelivered = {"state": "undelivered"}
        assert registry.get_sample_value("integrator_webhooks_open", undelivered) == 0


def test_findings_are_counted_by_their_names() -> None:
    with worker_metrics.reconciling("m1", "movements") as counted:
        report = counted(StepReport(counts={"matched": 4, "different": 1}))
    assert report.counts == {"matched": 4, "different": 1}
    findings = worker_metrics.RECONCILIATION_FINDINGS
    assert findings.labels("m1", "movements", "matched")._value.get() == 4
    assert worker_metrics.RECONCILIATION_STEPS.labels("m1", "movements", "done")._value.get() == 1


def test_a_step_that_stops_early_has_failed() -> None:
    with pytest.raises(ValueError, match="away"), worker_metrics.reconciling("m2", "events"):
        raise ValueError("away")
    assert worker_metrics.RECONCILIATION_STEPS.labels("m2", "events", "failed")._value.get() == 1
    assert worker_metrics.RECONCILIATION_STEPS.labels("m2", "events", "done")._value.get() == 0
