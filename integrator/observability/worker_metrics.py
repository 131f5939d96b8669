"""Metrics of the worker, except those of calls to PSPs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from integrator.observability.metrics import LONG_BUCKETS, counter, histogram
from workflows.messages import StepReport

WEBHOOK_ATTEMPTS = counter(
    "integrator_webhook_attempts_total",
    "Attempts to deliver a change notification: `delivered`, `http_3xx` to `http_5xx`, `timeout`, "
    "`unreachable`",
    "result",
)
WEBHOOK_DELAY = histogram(
    "integrator_webhook_delay_seconds",
    "Time from a change to the delivery of its notification to Billwerk+",
    buckets=LONG_BUCKETS,
)
NOTIFICATION_LAG = histogram(
    "integrator_notification_lag_seconds",
    "Time from the arrival of a PSP's notification until its transaction has applied it",
    "psp",
    buckets=LONG_BUCKETS,
)
NOTIFICATIONS_RECOVERED = counter(
    "integrator_notifications_recovered_total",
    "Notifications that the worker delivered to their workflows because the API could not",
)
RECORD_CONFLICTS = counter(
    "integrator_record_conflicts_total",
    "States that were not written because the store had a newer one",
    "kind",
)
ORPHANS = counter(
    "integrator_orphans_total",
    "Transactions recovered by the worker: `begun` or `announced` when the caller's connection was "
    "lost, `ended_in_temporal` when the workflow was terminated, cancelled or deleted in Temporal, "
    "`behind` when it lacked the stored state",
    "action",
)
SWEEP_FAILURES = counter(
    "integrator_sweep_failures_total",
    "Periodic jobs of the worker that failed and will be repeated",
    "sweep",
)
RECONCILIATION_STEPS = counter(
    "integrator_reconciliation_steps_total",
    "Steps of reconciliation that completed (`done`) or stopped with an error (`failed`)",
    *("merchant", "step", "result"),
)
RECONCILIATION_FINDINGS = counter(
    "integrator_reconciliation_findings_total",
    "Findings of reconciliation, by the names in docs/reconciliation.md",
    *("merchant", "step", "finding"),
)


for _result in ("delivered", "http_3xx", "http_4xx", "http_5xx", "timeout", "unreachable"):
    WEBHOOK_ATTEMPTS.labels(_result)  # zeros from the start


def count_webhook_failure(result: str) -> None:
    """Count a failed attempt to deliver a change notification."""
    WEBHOOK_ATTEMPTS.labels(result).inc()


def count_webhook_delivery(since: datetime) -> None:
    """Count a delivered change notification; `since` is the time of the change."""
    WEBHOOK_ATTEMPTS.labels("delivered").inc()
    WEBHOOK_DELAY.observe(_seconds_since(since))


def observe_notification_lag(psp: str, received_at: datetime) -> None:
    """Record the lag of a notification that its transaction has applied."""
    NOTIFICATION_LAG.labels(psp).observe(_seconds_since(received_at))


@contextmanager
def count_reconciliation_step(
    merchant: str, step: str
) -> Iterator[Callable[[StepReport], StepReport]]:
    """Count a step of reconciliation; the function given counts the findings of its report."""

    def count_findings(report: StepReport) -> StepReport:
        for finding, count in report.counts.items():
            RECONCILIATION_FINDINGS.labels(merchant, step, finding).inc(count)
        return report

    result = "failed"
    try:
        yield count_findings
        result = "done"
    finally:
        RECONCILIATION_STEPS.labels(merchant, step, result).inc()


def _seconds_since(time: datetime) -> float:
    return max(0.0, (datetime.now(UTC) - time).total_seconds())
