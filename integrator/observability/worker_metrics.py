"""What the worker counts beside its calls to PSPs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from integrator.observability.metrics import PATIENT, counter, histogram
from workflows.messages import StepReport

WEBHOOK_ATTEMPTS = counter(
    "integrator_webhook_attempts_total",
    "Attempts to deliver a change notification: `delivered`, `http_3xx` to `http_5xx`, `timeout`, "
    "`unreachable`",
    "result",
)
WEBHOOK_DELAY = histogram(
    "integrator_webhook_delay_seconds",
    "From the moment a change was to be announced until Billwerk+ took it",
    buckets=PATIENT,
)
NOTIFICATION_LAG = histogram(
    "integrator_notification_lag_seconds",
    "From a PSP's notification coming in until its transaction has read it",
    "psp",
    buckets=PATIENT,
)
NOTIFICATIONS_RECOVERED = counter(
    "integrator_notifications_recovered_total",
    "Notifications that the API could not hand on and the worker did",
)
RECORD_CONFLICTS = counter(
    "integrator_record_conflicts_total",
    "States that were not written because the store held a newer one",
    "kind",
)
ORPHANS = counter(
    "integrator_orphans_total",
    "Transactions taken care of by the worker: `begun` or `announced` where the caller was lost, "
    "`ended_in_temporal` where somebody ended the workflow there",
    "action",
)
SWEEP_FAILURES = counter(
    "integrator_sweep_failures_total",
    "Chores of the worker that failed and will be repeated",
    "sweep",
)
RECONCILIATION_STEPS = counter(
    "integrator_reconciliation_steps_total",
    "Steps of reconciliation that came to their end (`done`) or stopped early (`failed`)",
    *("merchant", "step", "result"),
)
RECONCILIATION_FINDINGS = counter(
    "integrator_reconciliation_findings_total",
    "What reconciliation found, by the names in docs/reconciliation.md",
    *("merchant", "step", "finding"),
)


for _result in ("delivered", "http_3xx", "http_4xx", "http_5xx", "timeout", "unreachable"):
    WEBHOOK_ATTEMPTS.labels(_result)  # zeros from the start


def webhook_failed(result: str) -> None:
    """An attempt that did not reach Billwerk+."""
    WEBHOOK_ATTEMPTS.labels(result).inc()


def webhook_delivered(since: datetime) -> None:
    """The one that did; `since` is when there was something to announce."""
    WEBHOOK_ATTEMPTS.labels("delivered").inc()
    WEBHOOK_DELAY.observe(_seconds_since(since))


def notification_read(psp: str, received_at: datetime) -> None:
    """A notification has come to its transaction."""
    NOTIFICATION_LAG.labels(psp).observe(_seconds_since(received_at))


@contextmanager
def reconciling(merchant: str, step: str) -> Iterator[Callable[[StepReport], StepReport]]:
    """Counts a step of reconciliation and what it reports by the function given."""

    def counted(report: StepReport) -> StepReport:
        for finding, count in report.counts.items():
            RECONCILIATION_FINDINGS.labels(merchant, step, finding).inc(count)
        return report

    result = "failed"
    try:
        yield counted
        result = "done"
    finally:
        RECONCILIATION_STEPS.labels(merchant, step, result).inc()


def _seconds_since(moment: datetime) -> float:
    return max(0.0, (datetime.now(UTC) - moment).total_seconds())
