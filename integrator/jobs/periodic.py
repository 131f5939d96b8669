"""Runner for the worker's periodic jobs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from integrator.observability import worker_metrics

log = logging.getLogger(__name__)


async def run_periodically(
    name: str, interval: timedelta, job: Callable[[], Awaitable[object]]
) -> None:
    """Run the job periodically until cancelled; a failed run is logged and repeated later."""
    while True:
        try:
            await job()
        except Exception as error:  # noqa: BLE001 - it would end the worker
            worker_metrics.SWEEP_FAILURES.labels(name).inc()
            log.warning("The periodic job %r failed: %s", name, type(error).__name__)
        await asyncio.sleep(interval.total_seconds())
