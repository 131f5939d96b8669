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
from activities.reservations import Owners
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
from integrator.jobs.backlog_metrics import FiguresCollector, FiguresReader
from integrator.jobs.late_erasure import LateSweeper
from integrator.jobs.notification_redelivery import InboxSweeper
from integrator.jobs.orphan_recovery import OrphanSweeper
from integrator.jobs.periodic import repeat
from integrator.jobs.reconciliation_schedules import ScheduleKeeper
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
from integrator.temporal.client import connect_patiently, follow_api_key
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
"""Of a thousand, as is the default, Python's search for garbage takes twice as long, and of
thousands that are open hardly any is asked for a second time within minutes."""

RECONCILE_AT_ONCE = 4
"""So many merchants are reconciled at once; the others' runs wait in the queue."""

SHUTDOWN_GRACE = activity_plans.PSP_HTTP_TIMEOUT + timedelta(seconds=1)
"""A PSP call in flight may end; a cancelled one would leave its outcome unknown."""


def _seconds(timeout: timedelta) -> httpx.Timeout:
    return httpx.Timeout(timeout.total_seconds())


def build_worker(
    client: Client,
    settings: Settings,
    store: Store,
    psp_http: httpx.AsyncClient,
    webhook_http: httpx.AsyncClient,
) -> Worker:
    """A worker with every workflow and activity registered."""
    owners = Owners(store, TransactionClient(client, settings.task_queue, input_refresher(store)))
    psp = PspActivities(store, psp_http, owners)
    records = RecordActivities(store)
    webhooks = WebhookActivities(store, webhook_http, WebhookForm(settings.webhook_form))
    return Worker(
        client,
        task_queue=settings.task_queue,
        workflows=WORKFLOWS,
        activities=[
            *psp.all(),
            owners.settle_owner,
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


def build_reconciler(
    client: Client, settings: Settings, store: Store, psp_http: httpx.AsyncClient
) -> Worker:
    """A small worker on a queue of its own: whoever waits for an answer never waits behind it."""
    gateway = TransactionClient(client, settings.task_queue, input_refresher(store))
    return Worker(
        client,
        task_queue=settings.reconcile_queue,
        workflows=[ReconcileWorkflow],
        activities=ReconcileActivities(store, psp_http, gateway).all(),
        workflow_runner=runner(),
        max_cached_workflows=RECONCILE_AT_ONCE * 2,
        max_concurrent_workflow_tasks=RECONCILE_AT_ONCE,
        max_concurrent_activities=RECONCILE_AT_ONCE,
        workflow_task_poller_behavior=PollerBehaviorSimpleMaximum(maximum=2),
        activity_task_poller_behavior=PollerBehaviorSimpleMaximum(maximum=1),
        graceful_shutdown_timeout=SHUTDOWN_GRACE,
        identity=identity(settings),
        deployment_config=deployment_config(settings),
    )


async def run(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    client = await _connected(settings, stop)
    if client is None:
        return
    await attribute_registry.require(client)
    async with (
        Store(settings.resolved_database_url, KeyRing.from_settings(settings)) as store,
        outbound_client(settings, _seconds(activity_plans.PSP_HTTP_TIMEOUT)) as psp_http,
        outbound_client(settings, _seconds(activity_plans.WEBHOOK_HTTP_TIMEOUT)) as webhook_http,
        build_worker(client, settings, store, psp_http, webhook_http) as worker,
        build_reconciler(client, settings, store, psp_http) as reconciler,
    ):
        tracing.trace_http(psp_http, webhook_http)
        gateway = TransactionClient(client, settings.task_queue, input_refresher(store))
        every = timedelta(seconds=settings.reconcile_every_seconds)
        keeper = ScheduleKeeper(store, client, settings.reconcile_queue, every)
        shown = FiguresCollector()
        REGISTRY.register(shown)
        reader = FiguresReader(store, shown)
        sweeps = [
            asyncio.create_task(
                repeat("inbox", notification_redelivery.EVERY, InboxSweeper(store, gateway).sweep)
            ),
            asyncio.create_task(
                repeat("orphans", orphan_recovery.EVERY, OrphanSweeper(store, gateway).sweep)
            ),
            asyncio.create_task(repeat("schedules", reconciliation_schedules.EVERY, keeper.sweep)),
            asyncio.create_task(repeat("figures", backlog_metrics.EVERY, reader.sweep)),
            asyncio.create_task(
                repeat("erased data", late_erasure.EVERY, LateSweeper(store).sweep)
            ),
            asyncio.create_task(follow_api_key(client, settings)),
        ]
        gc_tuning.collect_seldom()
        log.info("worker %s ready on task queue %s", identity(settings), settings.task_queue)
        await stop.wait()
        for sweep in sweeps:
            sweep.cancel()
        await asyncio.gather(*sweeps, return_exceptions=True)
        # At once, so that both have ended when the grace has passed.
        await asyncio.gather(worker.shutdown(), reconciler.shutdown())


async def _connected(settings: Settings, stop: asyncio.Event) -> Client | None:
    """A client as soon as the server is there; None if told to stop before."""
    connecting = asyncio.create_task(connect_patiently(settings))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({connecting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if connecting.done():
        return connecting.result()
    connecting.cancel()
    return None


def _settings() -> Settings:
    """Those of the environment; ends the process where they do not do."""
    try:
        settings = Settings()
        KeyRing.from_settings(settings)  # now, while there is somebody to tell
    except (KeyConfigurationError, ValidationError) as error:
        sys.exit(f"The worker cannot start: {error}")
    return settings


def main() -> None:
    """Entry point of `python -m worker`."""
    settings = _settings()
    log_setup.set_up(workflow_context.of_workflow, settings.resolved_log_format)
    psp_metrics.expect(registry.names())
    metrics_server.serve(settings.metrics_bind, settings.worker_metrics_port)
    tracing.set_up(settings, "integrator-worker")
    code = 0
    try:
        uvloop.run(run(settings))
    except attribute_registry.AttributesError as error:
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
