"""Chores that a worker repeats beside its activities, for as long as it runs."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta

from integrator.observability import worker_metrics

log = logging.getLogger(__name__)


async def repeat(name: str, every: timedelta, sweep: Callable[[], Awaitable[object]]) -> None:
    """Sweep until cancelled; whatever goes wrong only delays the next sweep."""
    while True:
        try:
            await sweep()
        except Exception as error:  # noqa: BLE001 - its end would be the worker's end
            worker_metrics.SWEEP_FAILURES.labels(name).inc()
            log.warning("The sweep of the %s failed: %s", name, type(error).__name__)
        await asyncio.sleep(every.total_seconds())
