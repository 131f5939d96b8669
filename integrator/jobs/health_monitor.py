"""Periodic checks of the worker's own health, for its `/healthz`."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError
from temporalio.client import Client
from temporalio.service import RPCError

from integrator.observability.health import OK, HealthCheck, ProcessHealth, waiting
from integrator.settings import Settings
from integrator.store.database import Store
from integrator.store.errors import StoreError
from integrator.temporal.poll_health import PollHealth

INTERVAL = timedelta(seconds=5)
TIMEOUT = timedelta(seconds=3)
STORE = "store"
TEMPORAL = "temporal"


def task_queues(settings: Settings) -> dict[str, str]:
    """Return the worker's two task queues by the names of their checks."""
    return {"transactions": settings.task_queue, "reconciliation": settings.reconcile_queue}


class HealthMonitor:
    """Checks the store, Temporal, and the polls of this process.

    A store or a Temporal that does not answer is `waiting`: a restart would not help.
    """

    def __init__(
        self,
        health: ProcessHealth,
        store: Store,
        client: Client,
        polls: PollHealth,
        read_sdk_metrics: Callable[[], bytes],
    ) -> None:
        self._health = health
        self._store = store
        self._client = client
        self._polls = polls
        self._read_sdk_metrics = read_sdk_metrics

    async def run(self) -> None:
        """Run all checks once and report their results."""
        store, temporal, metrics = await asyncio.gather(
            self._check_store(),
            self._check_temporal(),
            asyncio.to_thread(self._read_sdk_metrics),
        )
        polls = self._polls.update(metrics.decode(), available=temporal == OK)
        self._health.report({STORE: store, TEMPORAL: temporal, **polls})

    async def _check_store(self) -> HealthCheck:
        try:
            async with asyncio.timeout(TIMEOUT.total_seconds()):
                await self._store.ping()
        except TimeoutError:
            return waiting(f"the database does not answer within {TIMEOUT.total_seconds():.0f} s")
        except (StoreError, SQLAlchemyError) as error:
            return waiting(f"the database does not answer ({type(error).__name__})")
        return OK

    async def _check_temporal(self) -> HealthCheck:
        address = self._client.service_client.config.target_host
        try:
            async with asyncio.timeout(TIMEOUT.total_seconds()):
                serving = await self._client.service_client.check_health(timeout=TIMEOUT)
        except TimeoutError:
            reason = f"no answer within {TIMEOUT.total_seconds():.0f} s"
        except RPCError as error:
            reason = error.status.name
        except RuntimeError:  # raised by a lazy client until its first connection
            reason = "not connected"
        else:
            if serving:
                return OK
            reason = "not serving"
        return waiting(f"Temporal at {address} does not answer ({reason})")
