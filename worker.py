"""The Temporal worker process: runs the workflows, calls PSPs and delivers change notifications."""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import httpx
import uvloop
from prometheus_client import REGISTRY
from pydantic import ValidationError
from temporalio.client import Client
from temporalio.worker import PollerBehaviorAutoscaling, PollerBehaviorSimpleMaximum, Worker

from activities.external_captures import ExternalCaptures
from activities.lookup_probe import LookupProbe
from activities.psp import PspActivities
from activities.reconciliation.activities import ReconcileActivities
from activities.records import RecordActivities
from activities.reservations import Reservations
from activities.webhooks import WebhookActivities
from integrator import gc_tuning, startup
from integrator.contract.webhook import WebhookForm
from integrator.crypto.keys import KeyConfigurationError, KeyRing
from integrator.egress import outbound_client
from integrator.jobs import (
    backlog_metrics,
    health_monitor,
    late_erasure,
    lookup_recovery,
    notification_redelivery,
    orphan_recovery,
    reconciliation_schedules,
    workflow_recovery,
)
from integrator.jobs.backlog_metrics import BacklogCollector, BacklogReader
from integrator.jobs.first_version import FirstVersion
from integrator.jobs.health_monitor import HealthMonitor
from integrator.jobs.late_erasure import LateErasure
from integrator.jobs.lookup_recovery import LookupRecovery
from integrator.jobs.notification_redelivery import NotificationRedelivery
from integrator.jobs.orphan_recovery import OrphanRecovery
from integrator.jobs.periodic import run_periodically
from integrator.jobs.reconciliation_schedules import ReconciliationSchedules
from integrator.jobs.workflow_recovery import WorkflowRecovery
from integrator.key_registry import KeyRegistry
from integrator.observability import (
    log_setup,
    metrics_server,
    psp_metrics,
    tracing,
    workflow_context,
)
from integrator.observability.health import OK, ProcessHealth, starting, waiting
from integrator.observability.metrics_server import MetricsServer
from integrator.psp import registry
from integrator.settings import Settings
from integrator.store.database import Store
from integrator.temporal.client import watch_api_key_file
from integrator.temporal.poll_health import PollHealth
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

T = TypeVar("T")

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
    transaction_client = TransactionClient(client, settings.task_queue, input_refresher(store))
    reservations = Reservations(store, transaction_client)
    external_captures = ExternalCaptures(store, transaction_client)
    psp = PspActivities(store, psp_http, reservations, external_captures)
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
            records.read_stored,
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


async def run(settings: Settings, metrics: MetricsServer | None, health: ProcessHealth) -> None:
    """Run the worker until SIGTERM or SIGINT; it waits for what it needs."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    heartbeat = asyncio.create_task(health.run_heartbeat())
    keys = KeyRing.from_settings(settings)
    async with (
        Store(settings.resolved_database_url, keys) as store,
        outbound_client(
            settings,
            _http_timeout(activity_plans.PSP_HTTP_TIMEOUT),
            limit_hanging_hosts=True,
        ) as psp_http,
        outbound_client(
            settings, _http_timeout(activity_plans.WEBHOOK_HTTP_TIMEOUT)
        ) as webhook_http,
    ):
        registry = KeyRegistry(store, keys)
        client = await _connect_unless_stopped(settings, store, registry, stop, health)
        if client is None:
            return
        tracing.trace_http(psp_http, webhook_http)
        async with (
            build_worker(client, settings, store, psp_http, webhook_http) as worker,
            build_reconciliation_worker(client, settings, store, psp_http) as reconciliation_worker,
        ):
            jobs = _start_jobs(settings, store, client, psp_http)
            if metrics is not None:
                jobs.append(_start_health_monitor(settings, store, client, metrics, health))
            gc_tuning.raise_gc_thresholds()
            log.info("worker %s ready on task queue %s", identity(settings), settings.task_queue)
            try:
                await stop.wait()
            finally:
                # Also when a worker fails; a job that uses a closed store might never end.
                await _cancel(jobs)
            # Concurrently, so that both have ended when the grace period is over.
            await asyncio.gather(worker.shutdown(), reconciliation_worker.shutdown())
    heartbeat.cancel()


async def _cancel(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _start_jobs(
    settings: Settings, store: Store, client: Client, psp_http: httpx.AsyncClient
) -> list[asyncio.Task[None]]:
    """Start the periodic jobs."""
    transaction_client = TransactionClient(client, settings.task_queue, input_refresher(store))
    every = timedelta(seconds=settings.reconcile_every_seconds)
    schedules = ReconciliationSchedules(store, client, settings.reconcile_queue, every)
    collector = BacklogCollector()
    REGISTRY.register(collector)
    backlog = BacklogReader(store, collector)
    redelivery = NotificationRedelivery(store, transaction_client)
    orphans = OrphanRecovery(store, transaction_client)
    recovery = WorkflowRecovery(store, transaction_client)
    lookups = LookupRecovery(store, transaction_client, LookupProbe(store, psp_http))
    jobs: list[tuple[str, timedelta, Callable[[], Awaitable[object]]]] = [
        ("inbox", notification_redelivery.INTERVAL, redelivery.run),
        ("orphans", orphan_recovery.INTERVAL, orphans.run),
        ("recovery", workflow_recovery.INTERVAL, recovery.run),
        ("lookups", lookup_recovery.INTERVAL, lookups.run),
        ("schedules", reconciliation_schedules.INTERVAL, schedules.run),
        ("figures", backlog_metrics.INTERVAL, backlog.run),
        ("erased data", late_erasure.INTERVAL, LateErasure(store).run),
    ]
    return [
        *(asyncio.create_task(run_periodically(*job)) for job in jobs),
        asyncio.create_task(watch_api_key_file(client, settings)),
        asyncio.create_task(FirstVersion(client, settings).run()),
    ]


def _start_health_monitor(
    settings: Settings, store: Store, client: Client, metrics: MetricsServer, health: ProcessHealth
) -> asyncio.Task[None]:
    polls = PollHealth(health_monitor.task_queues(settings))
    read_sdk_metrics = partial(metrics_server.read_sdk_metrics, metrics.sdk_port)
    monitor = HealthMonitor(health, store, client, polls, read_sdk_metrics)
    return asyncio.create_task(run_periodically("health", health_monitor.INTERVAL, monitor.run))


async def _connect_unless_stopped(
    settings: Settings,
    store: Store,
    registry: KeyRegistry,
    stop: asyncio.Event,
    health: ProcessHealth,
) -> Client | None:
    """Connect when schema and Temporal are there; return None if stopped before.

    Raises `KeyConfigurationError` if a key in use is missing.
    """
    connecting = asyncio.create_task(_wait_for_services(settings, store, registry, health))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({connecting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    if connecting.done():
        stopping.cancel()
        return connecting.result()
    # Awaited, because it may be using the store, which the caller closes next.
    await _cancel([connecting])
    return None


async def _wait_for_services(
    settings: Settings, store: Store, registry: KeyRegistry, health: ProcessHealth
) -> Client:
    """Wait for the schema and for Temporal, each reported by itself."""
    health.report(dict.fromkeys(health_monitor.task_queues(settings), starting("no poll yet")))

    async def wait_for(name: str, step: Callable[[], Awaitable[T]]) -> T:
        result = await startup.wait_until_ready(
            step, lambda reason: health.report({name: waiting(reason)})
        )
        health.report({name: OK})
        return result

    _, client = await asyncio.gather(
        wait_for(health_monitor.STORE, partial(startup.prepare_store, store, registry)),
        wait_for(health_monitor.TEMPORAL, partial(startup.connect_to_temporal, settings, registry)),
    )
    return client


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
    health = ProcessHealth()
    metrics = metrics_server.serve(settings.metrics_bind, settings.worker_metrics_port, health)
    tracing.set_up(settings, "integrator-worker")
    code = 0
    try:
        uvloop.run(run(settings, metrics, health))
    except KeyboardInterrupt:
        code = 130
    except KeyConfigurationError as error:
        log.error("The worker cannot start: %s", error)
        code = 1
    tracing.flush()
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # The SDK's native threads can abort the interpreter's own exit (temporalio/sdk-python#300).
    os._exit(code)


if __name__ == "__main__":
    main()
