"""Test the worker's backlog and reconciliation metrics."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from prometheus_client import CollectorRegistry

from integrator.jobs.backlog_metrics import BacklogCollector
from integrator.observability import worker_metrics
from integrator.store.models import BacklogCounts, BacklogGroup, ComparisonProgress
from workflows.messages import StepReport

NOW = 1_800_000_000.0
AT = datetime.fromtimestamp(NOW, UTC)


def figures(*undecided: BacklogGroup) -> BacklogCounts:
    compared = [ComparisonProgress("demo", "sandbox", AT - timedelta(minutes=5))]
    return BacklogCounts(list(undecided), [], [], [], [BacklogGroup(("demo",), 2, AT)], compared)


class TestFigures:
    @pytest.fixture
    def clock(self) -> list[float]:
        return [NOW]

    @pytest.fixture
    def collector(self, clock: list[float]) -> BacklogCollector:
        return BacklogCollector(lambda: clock[0])

    @pytest.fixture
    def registry(self, collector: BacklogCollector) -> CollectorRegistry:
        registry = CollectorRegistry()
        registry.register(collector)
        return registry

    def test_nothing_is_exported_before_the_first_read(self, registry: CollectorRegistry) -> None:
        assert list(registry.collect()) == []

    def test_ages_keep_growing_when_the_store_is_not_read(
        self, registry: CollectorRegistry, collector: BacklogCollector, clock: list[float]
    ) -> None:
        since = AT - timedelta(hours=1)
        collector.update(figures(BacklogGroup(("payment", "Debit"), 3, since)))
        labels = {"kind": "payment", "role": "Debit"}
        count = "integrator_transactions_undecided"
        age = "integrator_transactions_undecided_oldest_age_seconds"
        assert registry.get_sample_value(count, labels) == 3
        assert registry.get_sample_value(age, labels) == 3600
        clock[0] += 60
        assert registry.get_sample_value(age, labels) == 3660
        assert registry.get_sample_value("integrator_figures_read_timestamp_seconds") == NOW
        account = {"merchant": "demo", "psp": "sandbox"}
        assert registry.get_sample_value("integrator_reconciliation_age_seconds", account) == 360

    def test_undecided_transactions_are_exported_by_reason(
        self, registry: CollectorRegistry, collector: BacklogCollector
    ) -> None:
        lost = BacklogGroup(("inconclusive",), 2, AT - timedelta(hours=1))
        collector.update(replace(figures(), undecided_reasons=[lost]))
        name = "integrator_transactions_undecided_by_reason"
        assert registry.get_sample_value(name, {"reason": "inconclusive"}) == 2
        age = f"{name}_oldest_age_seconds"
        assert registry.get_sample_value(age, {"reason": "inconclusive"}) == 3600
        assert registry.get_sample_value(name, {"reason": "not_sent"}) == 0

    def test_an_empty_group_is_exported_as_zero(
        self, registry: CollectorRegistry, collector: BacklogCollector
    ) -> None:
        labels = {"kind": "payment", "role": "MobilePay"}
        collector.update(figures(BacklogGroup(("payment", "MobilePay"), 3, AT)))
        list(registry.collect())
        collector.update(figures())
        assert registry.get_sample_value("integrator_transactions_undecided", labels) == 0
        undelivered = {"state": "undelivered"}
        assert registry.get_sample_value("integrator_webhooks_open", undelivered) == 0


def test_match_results_are_counted_by_name() -> None:
    with worker_metrics.count_reconciliation_step("m1", "movements") as counted:
        report = counted(StepReport(counts={"matched": 4, "different": 1}))
    assert report.counts == {"matched": 4, "different": 1}
    findings = worker_metrics.RECONCILIATION_FINDINGS
    assert findings.labels("m1", "movements", "matched")._value.get() == 4
    assert worker_metrics.RECONCILIATION_STEPS.labels("m1", "movements", "done")._value.get() == 1


def test_an_aborted_step_counts_as_failed() -> None:
    with (
        pytest.raises(ValueError, match="unavailable"),
        worker_metrics.count_reconciliation_step("m2", "events"),
    ):
        raise ValueError("unavailable")
    assert worker_metrics.RECONCILIATION_STEPS.labels("m2", "events", "failed")._value.get() == 1
    assert worker_metrics.RECONCILIATION_STEPS.labels("m2", "events", "done")._value.get() == 0
