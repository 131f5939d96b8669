"""For every alert, series for which it fires and similar series for which it must not.

Series are in the syntax of promtool, one value a minute: `0+6x99` counts up by six a minute. `now`
is the minute of the evaluation.
"""

from collections.abc import Mapping
from dataclasses import dataclass

Series = Mapping[str, str]

CALLS = "integrator_psp_call_duration_seconds_count"
BUCKET = "integrator_psp_call_duration_seconds_bucket"
UNKNOWN = "integrator_psp_unknown_outcomes_total"
UNDECIDED = "integrator_transactions_undecided_oldest_age_seconds"
FINDINGS = "integrator_reconciliation_findings_total"
STEPS = "integrator_reconciliation_steps_total"
WAITING = "integrator_notifications_open_oldest_age_seconds"
REQUESTS = "integrator_api_requests_total"
POST = 'method="POST",route="/api/Payment"'
FAILED_TASKS = "temporal_workflow_task_execution_failed_total"
SLOTS = "temporal_worker_task_slots_available"
TASKS = "temporal_workflow_task_schedule_to_start_latency_seconds_bucket"


@dataclass(frozen=True)
class AlertCase:
    """Series for which an alert fires, and series for which it does not."""

    firing: Series
    not_firing: Series
    now: int = 60


def slow_histograms(name: str, labels: str, bound: str, upper: str) -> tuple[Series, Series]:
    """Return a histogram with most observations above a bound, and one with hardly any."""
    below, above = f'{name}{{{labels},le="{bound}"}}', f'{name}{{{labels},le="{upper}"}}'
    total = f'{name}{{{labels},le="+Inf"}}'
    return (
        {below: "0+1x99", above: "0+60x99", total: "0+60x99"},
        {below: "0+59x99", above: "0+60x99", total: "0+60x99"},
    )


CASES: Mapping[str, AlertCase] = {
    "UnknownOutcomesRising": AlertCase(
        {
            f'{UNKNOWN}{{psp="p",operation="charge"}}': "0+2x99",
            f'{CALLS}{{psp="p",operation="charge",result="approved"}}': "0+10x99",
        },
        {
            f'{UNKNOWN}{{psp="p",operation="charge"}}': "0+2x99",
            f'{CALLS}{{psp="p",operation="charge",result="approved"}}': "0+1000x99",
        },
    ),
    "TransactionUndecidedTooLong": AlertCase(
        {f'{UNDECIDED}{{kind="payment",role="CreditCard"}}': "25000x99"},
        {
            f'{UNDECIDED}{{kind="payment",role="CreditCard"}}': "3600x99",
            f'{UNDECIDED}{{kind="payment",role="Debit"}}': "400000x99",
            f'{UNDECIDED}{{kind="preauth",role="CreditCard"}}': "100000x99",
        },
    ),
    "SlowTransactionUndecidedTooLong": AlertCase(
        {f'{UNDECIDED}{{kind="payment",role="Debit"}}': "1300000x199"},
        {f'{UNDECIDED}{{kind="payment",role="Debit"}}': "500000x199"},
        now=120,
    ),
    "AttentionRising": AlertCase(
        {'integrator_attention_raised_total{psp="p",kind="payment"}': "0+1x99"},
        {'integrator_attention_raised_total{psp="p",kind="payment"}': "0x50 1x50"},
    ),
    "AttentionTooOld": AlertCase(
        {'integrator_transactions_needing_attention_oldest_age_seconds{kind="refund"}': "90000x99"},
        {'integrator_transactions_needing_attention_oldest_age_seconds{kind="refund"}': "8000x99"},
    ),
    "LoginErrorTold": AlertCase(
        {'integrator_outcomes_total{psp="p",code="LoginError"}': "_x55 1x50"},
        {
            'integrator_outcomes_total{psp="p",code="LoginError"}': "1x99",
            'integrator_outcomes_total{psp="p",code="InsufficientBalance"}': "0+5x99",
        },
    ),
    "CredentialsRejected": AlertCase(
        {'integrator_psp_credentials_rejected_total{psp="p"}': "0x55 1x50"},
        {'integrator_psp_credentials_rejected_total{psp="p"}': "0x30 1x70"},
    ),
    "PspFailing": AlertCase(
        {
            f'{CALLS}{{psp="p",result="approved"}}': "0+10x99",
            f'{CALLS}{{psp="p",result="unavailable"}}': "0+10x99",
        },
        {
            f'{CALLS}{{psp="p",result="approved"}}': "0+10x99",
            f'{CALLS}{{psp="p",result="declined"}}': "0+50x99",
            f'{CALLS}{{psp="p",result="unavailable"}}': "0+1x99",
        },
    ),
    "PspSlow": AlertCase(*slow_histograms(BUCKET, 'psp="p",operation="charge"', "1.0", "10.0")),
    "PspThrottles": AlertCase(
        {f'{CALLS}{{psp="p",result="over_budget"}}': "0+10x99"},
        {f'{CALLS}{{psp="p",result="throttled"}}': "0+1x99"},
    ),
    "WebhooksDelayed": AlertCase(
        {'integrator_webhooks_open_oldest_age_seconds{state="delivering"}': "4000x99"},
        {
            'integrator_webhooks_open_oldest_age_seconds{state="delivering"}': "300x99",
            'integrator_webhooks_open_oldest_age_seconds{state="undelivered"}': "90000x99",
        },
    ),
    "WebhookTargetFailing": AlertCase(
        {
            'integrator_webhook_attempts_total{result="delivered"}': "0+1x99",
            'integrator_webhook_attempts_total{result="http_5xx"}': "0+3x99",
        },
        {
            'integrator_webhook_attempts_total{result="delivered"}': "0+10x99",
            'integrator_webhook_attempts_total{result="http_5xx"}': "0+3x99",
        },
    ),
    "WebhooksUndelivered": AlertCase(
        {'integrator_webhooks_open{state="undelivered"}': "2x99"},
        {
            'integrator_webhooks_open{state="undelivered"}': "0x99",
            'integrator_webhooks_open{state="delivering"}': "50x99",
        },
    ),
    "NotificationsWaiting": AlertCase(
        {f'{WAITING}{{state="stored"}}': "700x99"},
        {f'{WAITING}{{state="stored"}}': "20x99", f'{WAITING}{{state="parked"}}': "90000x99"},
    ),
    "NotificationsParked": AlertCase(
        {
            f'{WAITING}{{state="parked"}}': "90000x99",
            'integrator_notifications_open{state="parked"}': "21x99",
        },
        {
            f'{WAITING}{{state="parked"}}': "90000x99",
            'integrator_notifications_open{state="parked"}': "3x99",
        },
    ),
    "NotificationsRejected": AlertCase(
        {'integrator_notifications_received_total{psp="p",result="rejected"}': "0+1x99"},
        {'integrator_notifications_received_total{psp="p",result="accepted"}': "0+9x99"},
    ),
    "NotificationsUnreadable": AlertCase(
        {'integrator_notifications_received_total{psp="p",result="unreadable"}': "0+1x99"},
        {'integrator_notifications_received_total{psp="p",result="unreadable"}': "1x99"},
    ),
    "ReconciliationBehind": AlertCase(
        {'integrator_reconciliation_age_seconds{merchant="m",psp="p"}': "4000x99"},
        {'integrator_reconciliation_age_seconds{merchant="m",psp="p"}': "400x99"},
    ),
    "ReconciliationFailing": AlertCase(
        {f'{STEPS}{{merchant="m",step="movements",result="failed"}}': "0+1x199"},
        {
            f'{STEPS}{{merchant="m",step="movements",result="failed"}}': "0+1x199",
            f'{STEPS}{{merchant="m",step="movements",result="done"}}': "0+1x199",
        },
        now=120,
    ),
    "BooksDiffer": AlertCase(
        {f'{FINDINGS}{{merchant="m",step="movements",finding="different"}}': "_x100 1x99"},
        {
            f'{FINDINGS}{{merchant="m",step="movements",finding="different"}}': "1x199",
            f'{FINDINGS}{{merchant="m",step="movements",finding="matched"}}': "0+9x199",
        },
        now=120,
    ),
    "NotificationsMissed": AlertCase(
        {f'{FINDINGS}{{merchant="m",step="events",finding="repaired"}}': "0+1x99"},
        {f'{FINDINGS}{{merchant="m",step="events",finding="listed"}}': "0+9x99"},
    ),
    "StraysOpen": AlertCase(
        {'integrator_strays_open{merchant="m"}': "1x199"},
        {'integrator_strays_open{merchant="m"}': "0x90 1x9 0x99"},
        now=120,
    ),
    "ApiFailing": AlertCase(
        {f'{REQUESTS}{{status="200"}}': "0+10x99", f'{REQUESTS}{{status="503"}}': "0+2x99"},
        {f'{REQUESTS}{{status="200"}}': "0+10x99", f'{REQUESTS}{{status="422"}}': "0+9x99"},
    ),
    "ApiSlow": AlertCase(
        *slow_histograms("integrator_api_request_duration_seconds_bucket", POST, "1.0", "10.0")
    ),
    "WorkflowsDoNotAnswer": AlertCase(
        {'integrator_api_query_fallbacks_total{reason="unanswered"}': "0+6x99"},
        {'integrator_api_query_fallbacks_total{reason="breaker_open"}': "0+6x99"},
    ),
    "CertificateExpires": AlertCase(
        {'integrator_api_certificate_expiry_timestamp_seconds{instance="a"}': "900000x199"},
        {
            'integrator_api_certificate_expiry_timestamp_seconds{instance="a"}': "90000000x199",
            'integrator_api_certificate_expiry_timestamp_seconds{instance="b"}': "0x199",
        },
        now=120,
    ),
    "CertificateNotReplaced": AlertCase(
        {'integrator_api_certificate_failures_total{instance="a"}': "0x50 1x50"},
        {'integrator_api_certificate_failures_total{instance="a"}': "0x99"},
    ),
    "NoApi": AlertCase(
        {'up{job="api",instance="a"}': "0x99", 'up{job="api",instance="b"}': "0x99"},
        {'up{job="api",instance="a"}': "1x99", 'up{job="api",instance="b"}': "0x99"},
    ),
    "NoWorker": AlertCase({'up{job="api"}': "1x99"}, {'up{job="worker"}': "1x99"}),
    "WorkerNotPolling": AlertCase(
        {'temporal_long_request_total{operation="PollWorkflowTaskQueue",instance="w"}': "7x99"},
        {'temporal_long_request_total{operation="PollWorkflowTaskQueue",instance="w"}': "7+1x99"},
    ),
    "WorkflowTasksFail": AlertCase(
        {f'{FAILED_TASKS}{{failure_reason="NonDeterminismError"}}': "0+1x99"},
        {f'{FAILED_TASKS}{{failure_reason="NonDeterminismError"}}': "4x99"},
    ),
    "TasksWait": AlertCase(*slow_histograms(TASKS, 'task_queue="q"', "0.5", "10")),
    "SlotsUsedUp": AlertCase(
        {f'{SLOTS}{{task_queue="q",worker_type="ActivityWorker"}}': "0x99"},
        {
            f'{SLOTS}{{task_queue="q",worker_type="ActivityWorker"}}': "9x99",
            f'{SLOTS}{{task_queue="q-reconcile",worker_type="x"}}': "0x99",
        },
    ),
    "SweepsFail": AlertCase(
        {'integrator_sweep_failures_total{sweep="inbox"}': "0+1x99"},
        {'integrator_sweep_failures_total{sweep="inbox"}': "0x50 1x50"},
    ),
    "KeysDoNotOpen": AlertCase(
        {'integrator_decryption_failures_total{job="worker"}': "0x55 1x50"},
        {'integrator_decryption_failures_total{job="worker"}': "0x99"},
    ),
    "KeyMissing": AlertCase(
        {'integrator_missing_keys_total{key_id="k2"}': "1+1x99"},
        {'integrator_missing_keys_total{key_id="k2"}': "3x99"},
    ),
    "StoreUnreachable": AlertCase(
        {'integrator_store_errors_total{error="unavailable",job="api"}': "0+2x99"},
        {'integrator_store_errors_total{error="refused",job="api"}': "0+2x99"},
    ),
    "StoreSlow": AlertCase(
        *slow_histograms("integrator_store_duration_seconds_bucket", 'access="read"', "0.1", "2.5")
    ),
    "FiguresStale": AlertCase(
        {"integrator_figures_read_timestamp_seconds": "0x99"},
        {"integrator_figures_read_timestamp_seconds": "0+60x99"},
    ),
    "TemporalDown": AlertCase(
        {'up{job="temporal",instance="t"}': "0x99"},
        {'up{job="temporal",instance="t"}': "1x99", 'up{job="proxy",instance="p"}': "0x99"},
    ),
    "ProxyDown": AlertCase(
        {'up{job="proxy",instance="p"}': "0x99"},
        {'up{job="proxy",instance="p"}': "1x99", 'up{job="temporal",instance="t"}': "0x99"},
    ),
    "TargetDown": AlertCase(
        {'up{job="api",instance="a"}': "0x99"}, {'up{job="api",instance="a"}': "1x99"}
    ),
    "AlertsGoNowhere": AlertCase(
        {
            "alertmanager_integrations": "0x99",
            "prometheus_notifications_alertmanagers_discovered": "1x99",
        },
        {
            "alertmanager_integrations": "1x99",
            "prometheus_notifications_alertmanagers_discovered": "1x99",
        },
    ),
    "AlertsNotDelivered": AlertCase(
        {'alertmanager_notifications_failed_total{integration="webhook"}': "0x50 1x50"},
        {
            'alertmanager_notifications_failed_total{integration="webhook"}': "7x99",
            'alertmanager_notifications_total{integration="webhook"}': "0+1x99",
        },
    ),
}
