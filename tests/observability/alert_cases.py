"""For every alert, figures at which it fires and similar ones at which it must not.

Series are written as promtool reads them, one value a minute: `0+6x99` counts up by six a minute.
`now` is the minute that is looked at.
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
class Case:
    """Two worlds that differ in what matters."""

    fires: Series
    quiet: Series
    now: int = 60


def slow(name: str, labels: str, bound: str, beyond: str) -> tuple[Series, Series]:
    """A histogram with most of its observations beyond a bound, and one with hardly any."""
    below, above = f'{name}{{{labels},le="{bound}"}}', f'{name}{{{labels},le="{beyond}"}}'
    every = f'{name}{{{labels},le="+Inf"}}'
    return (
        {below: "0+1x99", above: "0+60x99", every: "0+60x99"},
        {below: "0+59x99", above: "0+60x99", every: "0+60x99"},
    )


CASES: Mapping[str, Case] = {
    "UnknownOutcomesRising": Case(
        {
            f'{UNKNOWN}{{psp="p",operation="charge"}}': "0+2x99",
            f'{CALLS}{{psp="p",operation="charge",result="approved"}}': "0+10x99",
        },
        {
            f'{UNKNOWN}{{psp="p",operation="charge"}}': "0+2x99",
            f'{CALLS}{{psp="p",operation="charge",result="approved"}}': "0+1000x99",
        },
    ),
    "TransactionUndecidedTooLong": Case(
        {f'{UNDECIDED}{{kind="payment",role="CreditCard"}}': "25000x99"},
        {
            f'{UNDECIDED}{{kind="payment",role="CreditCard"}}': "3600x99",
            f'{UNDECIDED}{{kind="payment",role="Debit"}}': "400000x99",
            f'{UNDECIDED}{{kind="preauth",role="CreditCard"}}': "100000x99",
        },
    ),
    "SlowTransactionUndecidedTooLong": Case(
        {f'{UNDECIDED}{{kind="payment",role="Debit"}}': "1300000x199"},
        {f'{UNDECIDED}{{kind="payment",role="Debit"}}': "500000x199"},
        now=120,
    ),
    "AttentionRising": Case(
        {'integrator_attention_raised_total{psp="p",kind="payment"}': "0+1x99"},
        {'integrator_attention_raised_total{psp="p",kind="payment"}': "0x50 1x50"},
    ),
    "AttentionTooOld": Case(
        {'integrator_transactions_needing_attention_oldest_age_seconds{kind="refund"}': "90000x99"},
        {'integrator_transactions_needing_attention_oldest_age_seconds{kind="refund"}': "8000x99"},
    ),
    "LoginErrorTold": Case(
        {'integrator_outcomes_total{psp="p",code="LoginError"}': "_x55 1x50"},
        {
            'integrator_outcomes_total{psp="p",code="LoginError"}': "1x99",
            'integrator_outcomes_total{psp="p",code="InsufficientBalance"}': "0+5x99",
        },
    ),
    "CredentialsRejected": Case(
        {'integrator_psp_credentials_rejected_total{psp="p"}': "0x55 1x50"},
        {'integrator_psp_credentials_rejected_total{psp="p"}': "0x30 1x70"},
    ),
    "PspFailing": Case(
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
    "PspSlow": Case(*slow(BUCKET, 'psp="p",operation="charge"', "1.0", "10.0")),
    "PspThrottles": Case(
        {f'{CALLS}{{psp="p",result="over_budget"}}': "0+10x99"},
        {f'{CALLS}{{psp="p",result="throttled"}}': "0+1x99"},
    ),
    "WebhooksDelayed": Case(
        {'integrator_webhooks_open_oldest_age_seconds{state="delivering"}': "4000x99"},
        {
            'integrator_webhooks_open_oldest_age_seconds{state="delivering"}': "300x99",
            'integrator_webhooks_open_oldest_age_seconds{state="undelivered"}': "90000x99",
        },
    ),
    "WebhookTargetFailing": Case(
        {
            'integrator_webhook_attempts_total{result="delivered"}': "0+1x99",
            'integrator_webhook_attempts_total{result="http_5xx"}': "0+3x99",
        },
        {
            'integrator_webhook_attempts_total{result="delivered"}': "0+10x99",
            'integrator_webhook_attempts_total{result="http_5xx"}': "0+3x99",
        },
    ),
    "WebhooksUndelivered": Case(
        {'integrator_webhooks_open{state="undelivered"}': "2x99"},
        {
            'integrator_webhooks_open{state="undelivered"}': "0x99",
            'integrator_webhooks_open{state="delivering"}': "50x99",
        },
    ),
    "NotificationsWaiting": Case(
        {f'{WAITING}{{state="stored"}}': "700x99"},
        {f'{WAITING}{{state="stored"}}': "20x99", f'{WAITING}{{state="parked"}}': "90000x99"},
    ),
    "NotificationsParked": Case(
        {
            f'{WAITING}{{state="parked"}}': "90000x99",
            'integrator_notifications_open{state="parked"}': "21x99",
        },
        {
            f'{WAITING}{{state="parked"}}': "90000x99",
            'integrator_notifications_open{state="parked"}': "3x99",
        },
    ),
    "NotificationsRejected": Case(
        {'integrator_notifications_received_total{psp="p",result="rejected"}': "0+1x99"},
        {'integrator_notifications_received_total{psp="p",result="accepted"}': "0+9x99"},
    ),
    "ReconciliationBehind": Case(
        {'integrator_reconciliation_age_seconds{merchant="m",psp="p"}': "4000x99"},
        {'integrator_reconciliation_age_seconds{merchant="m",psp="p"}': "400x99"},
    ),
    "ReconciliationFailing": Case(
        {f'{STEPS}{{merchant="m",step="movements",result="failed"}}': "0+1x199"},
        {
            f'{STEPS}{{merchant="m",step="movements",result="failed"}}': "0+1x199",
            f'{STEPS}{{merchant="m",step="movements",result="done"}}': "0+1x199",
        },
        now=120,
    ),
    "BooksDiffer": Case(
        {f'{FINDINGS}{{merchant="m",step="movements",finding="different"}}': "_x100 1x99"},
        {
            f'{FINDINGS}{{merchant="m",step="movements",finding="different"}}': "1x199",
            f'{FINDINGS}{{merchant="m",step="movements",finding="matched"}}': "0+9x199",
        },
        now=120,
    ),
    "NotificationsMissed": Case(
        {f'{FINDINGS}{{merchant="m",step="events",finding="repaired"}}': "0+1x99"},
        {f'{FINDINGS}{{merchant="m",step="events",finding="listed"}}': "0+9x99"},
    ),
    "StraysOpen": Case(
        {'integrator_strays_open{merchant="m"}': "1x199"},
        {'integrator_strays_open{merchant="m"}': "0x90 1x9 0x99"},
        now=120,
    ),
    "ApiFailing": Case(
        {f'{REQUESTS}{{status="200"}}': "0+10x99", f'{REQUESTS}{{status="503"}}': "0+2x99"},
        {f'{REQUESTS}{{status="200"}}': "0+10x99", f'{REQUESTS}{{status="422"}}': "0+9x99"},
    ),
    "ApiSlow": Case(*slow("integrator_api_request_duration_seconds_bucket", POST, "1.0", "10.0")),
    "WorkflowsDoNotAnswer": Case(
        {'integrator_api_query_fallbacks_total{reason="unanswered"}': "0+6x99"},
        {'integrator_api_query_fallbacks_total{reason="breaker_open"}': "0+6x99"},
    ),
    "CertificateExpires": Case(
        {'integrator_api_certificate_expiry_timestamp_seconds{instance="a"}': "900000x199"},
        {
            'integrator_api_certificate_expiry_timestamp_seconds{instance="a"}': "90000000x199",
            'integrator_api_certificate_expiry_timestamp_seconds{instance="b"}': "0x199",
        },
        now=120,
    ),
    "CertificateNotReplaced": Case(
        {'integrator_api_certificate_failures_total{instance="a"}': "0x50 1x50"},
        {'integrator_api_certificate_failures_total{instance="a"}': "0x99"},
    ),
    "NoWorker": Case({'up{job="api"}': "1x99"}, {'up{job="worker"}': "1x99"}),
    "WorkerNotPolling": Case(
        {'temporal_long_request_total{operation="PollWorkflowTaskQueue",instance="w"}': "7x99"},
        {'temporal_long_request_total{operation="PollWorkflowTaskQueue",instance="w"}': "7+1x99"},
    ),
    "WorkflowTasksFail": Case(
        {f'{FAILED_TASKS}{{failure_reason="NonDeterminismError"}}': "0+1x99"},
        {f'{FAILED_TASKS}{{failure_reason="NonDeterminismError"}}': "4x99"},
    ),
    "TasksWait": Case(*slow(TASKS, 'task_queue="q"', "0.5", "10")),
    "SlotsUsedUp": Case(
        {f'{SLOTS}{{task_queue="q",worker_type="ActivityWorker"}}': "0x99"},
        {
            f'{SLOTS}{{task_queue="q",worker_type="ActivityWorker"}}': "9x99",
            f'{SLOTS}{{task_queue="q-reconcile",worker_type="x"}}': "0x99",
        },
    ),
    "SweepsFail": Case(
        {'integrator_sweep_failures_total{sweep="inbox"}': "0+1x99"},
        {'integrator_sweep_failures_total{sweep="inbox"}': "0x50 1x50"},
    ),
    "KeysDoNotOpen": Case(
        {'integrator_decryption_failures_total{job="worker"}': "0x55 1x50"},
        {'integrator_decryption_failures_total{job="worker"}': "0x99"},
    ),
    "StoreUnreachable": Case(
        {'integrator_store_errors_total{error="unavailable",job="api"}': "0+2x99"},
        {'integrator_store_errors_total{error="refused",job="api"}': "0+2x99"},
    ),
    "StoreSlow": Case(
        *slow("integrator_store_duration_seconds_bucket", 'access="read"', "0.1", "2.5")
    ),
    "FiguresStale": Case(
        {"integrator_figures_read_timestamp_seconds": "0x99"},
        {"integrator_figures_read_timestamp_seconds": "0+60x99"},
    ),
    "TargetDown": Case(
        {'up{job="api",instance="a"}': "0x99"}, {'up{job="api",instance="a"}': "1x99"}
    ),
}
