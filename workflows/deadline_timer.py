"""The one timer of a transaction's workflow."""

import asyncio
from datetime import datetime

from temporalio import workflow


class DeadlineTimer:
    """Rings at the time it was last set to; a timer that is right already runs on.

    Each timer costs two history events.
    """

    def __init__(self) -> None:
        self.fired = False
        self._at: datetime | None = None
        self._task: asyncio.Task[None] | None = None

    def set(self, at: datetime | None, summary: str) -> None:
        """Ring at `at`, or never; `summary` says for what."""
        if at is not None and at <= workflow.now():
            self.fired = True
            return
        if at == self._at:
            return
        self.stop()
        self._at = at
        self._task = asyncio.create_task(self._ring(at, summary)) if at is not None else None

    def stop(self) -> None:
        """End the timer, if there is one."""
        if self._task is not None:
            self._task.cancel()

    async def _ring(self, at: datetime, summary: str) -> None:
        await workflow.sleep(at - workflow.now(), summary=summary)
        self._at = None
        self.fired = True
