"""The Temporal worker process: runs the workflows, calls PSPs and delivers change notifications."""

import asyncio
import logging
import os
import signal
import sys
from datetime import timedelta

import httpx
import uvloop
from prometheus_client import REGISTRY
from pydantic import ValidationError
from temporalio.client import Client
from temporalio.worker import PollerBehaviorAutoscaling, PollerBehaviorSimpleMaximum, Worker

from activities.psp import PspActivities
from activities.reconciliation.activities import ReconcileActivities
from activities.records import RecordActivities
from activities.reservations import Reservations
from activities.webhooks import WebhookActivities
from integrator import gc_tuning
from integrator.contract.webhook import WebhookForm
from integrator.crypto.keys import KeyConfigurationError, KeyRing
from integrator.egress import outbound_client
from integrator.jobs import (
    backlog_metrics,
    late_erasure,
    notification_redelivery,
    orphan_recovery,
    reconciliation_schedules,
)
from integrator.jobs.backlog_metrics import BacklogCollector, BacklogReader
from integrator.jobs.late_erasure import LateErasure
from integrator.jobs.notification_redelivery import NotificationRedelivery
from integrator.jobs.orphan_recovery import OrphanRecovery
from integrator.jobs.periodic import run_periodically
from integrator.jobs.reconciliation_schedules import ReconciliationSchedules
from integrator.observability import (
    log_setup,
    metrics_server,
    psp_metrics,
    tracing,
    workflow_context,
)
from integrator.psp import registry
from integrator.settings import Settings
from integrator.store.database import Store
from integrator.temporal import attribute_registry
from integrator.temporal.client import connect_with_retry, watch_api_key_file
from integrator.temporal.worker_versioning import deployment_config, identity
from integrator.temporal.workflow_sandbox import runner
from integrator.transactions.transaction_client import TransactionClient
from integrator.transactions.workflow_inputs import input_refresher
from workflows import activity_plans
from workflows.payment import PaymentWorkflow
from workflows.preauth import PreauthWorkflow
from workflows.reconcile import ReconcileWorkflow
from workflows.refund import RefundWorkflow

log = logging.getLogger("worker")

WORKFLOWS = [PreauthWorkflow, PaymentWorkflow, RefundWorkflow]

CACHED_WORKFLOWS = 500
"""With the default of a thousand, Python's garbage collection takes twice as long; of thousands of
open workflows, hardly any gets a second task within minutes."""

MAX_CONCURRENT_RECONCILIATIONS = 4
"""Merchants reconciled at once; the runs of others wait in the queue."""

SHUTDOWN_GRACE = activity_plans.PSP_HTTP_TIMEOUT + timedelta(seconds=1)
"""Lets a PSP call in flight end; a cancelled one would leave its outcome unknown."""


def _http_timeout(timeout: timedelta) -> httpx.Timeout:
    return httpx.Timeout(timeout.total_seconds())


def build_worker(
    client: Client,
    settings: Settings,
    store: Store,
    psp_http: httpx.AsyncClient,
    webhook_http: httpx.AsyncClient,
) -> Worker:
    """Build the worker with all transaction workflows and their activities."""
    reservations = Reservations(
        store, TransactionClient(client, settings.task_queue, input_refresher(store))
    )
    psp = PspActivities(store, psp_http, reservations)
    records = RecordActivities(store)
    webhooks = WebhookActivities(store, webhook_http, WebhookForm(settings.webhook_form))
    return Worker(
        client,
        task_queue=settings.task_queue,
        workflows=WORKFLOWS,
        activities=[
            *psp.all(),
            reservations.close_reservation,
            records.record,
            webhooks.deliver_webhook,
        ],
        workflow_runner=runner(),
        max_cached_workflows=CACHED_WORKFLOWS,
        workflow_task_poller_behavior=PollerBehaviorAutoscaling(),
        activity_task_poller_behavior=PollerBehaviorAutoscaling(),
        graceful_shutdown_timeout=SHUTDOWN_GRACE,
        identity=identity(settings),
        deployment_config=deployment_config(settings),
    )


def build_reconciliation_worker(
    client: Client, settings: Settings, store: Store, psp_http: httpx.AsyncClient
) -> Worker:
    """Build a small worker on its own queue, so that API requests never wait for reconciliation."""
    transaction_client = TransactionClient(client, settings.task_queue, input_refresher(store))
    return Worker(
        client,
        task_queue=settings.reconcile_queue,
        workflows=[ReconcileWorkflow],
        activities=ReconcileActivities(store, psp_http, transaction_client).all(),
        workflow_runner=runner(),
        max_cached_workflows=MAX_CONCURRENT_RECONCILIATIONS * 2,
        max_concurrent_workflow_tasks=MAX_CONCURRENT_RECONCILIATIONS,
        max_concurrent_activities=MAX_CONCURRENT_RECONCILIATIONS,
        workflow_task_poller_behavior=PollerBehaviorSimpleMaximum(maximum=2),
        activity_task_poller_behavior=PollerBehaviorSimpleMaximum(maximum=1),
        graceful_shutdown_timeout=SHUTDOWN_GRACE,
        identity=identity(settings),
        deployment_config=deployment_config(settings),
    )


async def run(settings: Settings) -> None:
    """Run the worker until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    client = await _connect_unless_stopped(settings, stop)
    if client is None:
        return
    await attribute_registry.require(client)
    async with (
        Store(settings.resolved_database_url, KeyRing.from_settings(settings)) as store,
        outbound_client(settings, _http_timeout(activity_plans.PSP_HTTP_TIMEOUT)) as psp_http,
        outbound_client(
            settings, _http_timeout(activity_plans.WEBHOOK_HTTP_TIMEOUT)
        ) as webhook_http,
        build_worker(client, settings, store, psp_http, webhook_http) as worker,
        build_reconciliation_worker(client, settings, store, psp_http) as reconciliation_worker,
    ):
        tracing.trace_http(psp_http, webhook_http)
        transaction_client = TransactionClient(client, settings.task_queue, input_refresher(store))
        interval = timedelta(seconds=settings.reconcile_every_seconds)
        schedules = ReconciliationSchedules(store, client, settings.reconcile_queue, interval)
        collector = BacklogCollector()
        REGISTRY.register(collector)
        backlog = BacklogReader(store, collector)
        jobs = [
            asyncio.create_task(
                run_periodically(
                    "inbox",
                    notification_redelivery.INTERVAL,
                    NotificationRedelivery(store, transaction_client).run,
                )
            ),
            asyncio.create_task(
                run_periodically(
                    "orphans",
                    orphan_recovery.INTERVAL,
                    OrphanRecovery(store, transaction_client).run,
                )
            ),
            asyncio.create_task(
                run_periodically("schedules", reconciliation_schedules.INTERVAL, schedules.run)
            ),
            asyncio.create_task(run_periodically("figures", backlog_metrics.INTERVAL, backlog.run)),
            asyncio.create_task(
                run_periodically("erased data", late_erasure.INTERVAL, LateErasure(store).run)
            ),
            asyncio.create_task(watch_api_key_file(client, settings)),
        ]
        gc_tuning.raise_gc_thresholds()
        log.info("worker %s ready on task queue %s", identity(settings), settings.task_queue)
        await stop.wait()
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        # Concurrently, so that both have ended when the grace period is over.
        await asyncio.gather(worker.shutdown(), reconciliation_worker.shutdown())


async def _connect_unless_stopped(settings: Settings, stop: asyncio.Event) -> Client | None:
    """Connect as soon as the server is available; return None if stopped before."""
    connecting = asyncio.create_task(connect_with_retry(settings))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({connecting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if connecting.done():
        return connecting.result()
    connecting.cancel()
    return None


def _load_settings() -> Settings:
    """Load settings from the environment; exit if invalid."""
    try:
        settings = Settings()
        KeyRing.from_settings(settings)  # fail at start, where an operator sees it
    except (KeyConfigurationError, ValidationError) as error:
        sys.exit(f"The worker cannot start: {error}")
    return settings


def main() -> None:
    """Entry point of `python -m worker`."""
    settings = _load_settings()
    log_setup.set_up(workflow_context.workflow_subject, settings.resolved_log_format)
    psp_metrics.initialize_counters(registry.adapter_names())
    metrics_server.serve(settings.metrics_bind, settings.worker_metrics_port)
    tracing.set_up(settings, "integrator-worker")
    code = 0
    try:
        uvloop.run(run(settings))
    except attribute_registry.SearchAttributesError as error:
        log.critical("%s", error)
        code = 1
    except KeyboardInterrupt:
        code = 130
    tracing.flush()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # The SDK's native threads can abort the interpreter's own exit (temporalio/sdk-python#300).
    os._exit(code)


if __name__ == "__main__":
    main()
