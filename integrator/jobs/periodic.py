"""Runner for the worker's periodic jobs."""

import asyncio
import logging
import traceback
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
            log.warning(
                "The periodic job %r failed: %s at %s",
                *(name, type(error).__name__, _place(error)),
            )
        await asyncio.sleep(interval.total_seconds())


def _place(error: Exception) -> str:
    """Return where the error was raised; its message may contain a caller's data."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{frame.filename}:{frame.lineno} ({frame.name})"
