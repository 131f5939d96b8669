"""The worker with faults that signals trigger: run as `python -m tests.integration.worker_program`.

SIGUSR1 blocks the event loop, SIGUSR2 stops the pollers of reconciliation.
"""

import asyncio
import signal
import time
from functools import partial
from types import FrameType
from typing import Any
from unittest.mock import patch

from temporalio.worker import Worker

import worker
from integrator.temporal.poll_health import PollHealth

MAX_POLL_AGE_S = 10.0
"""The test's Temporal server ends polls after two seconds."""

_built: list[Worker] = []
_build = worker.build_reconciliation_worker


def _build_and_keep(*arguments: Any) -> Worker:
    _built.append(_build(*arguments))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR2, lambda: loop.create_task(_built[0].shutdown()))
    return _built[0]


def _block(_signal: int, _frame: FrameType | None) -> None:
    time.sleep(3600)  # in the thread of the event loop


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, _block)
    with (
        patch.object(worker, "build_reconciliation_worker", _build_and_keep),
        patch.object(worker, "PollHealth", partial(PollHealth, max_age=MAX_POLL_AGE_S)),
    ):
        worker.main()
