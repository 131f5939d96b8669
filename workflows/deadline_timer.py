"""The single timer of a transaction's workflow."""

import asyncio
from datetime import datetime

from temporalio import workflow

from workflows import timeouts


class DeadlineTimer:
    """Fires at the time it was last set to; setting the same time keeps the running timer.

    Each Temporal timer costs two history events.
    """

    def __init__(self) -> None:
        self.fired = False
        self._at: datetime | None = None
        self._task: asyncio.Task[None] | None = None

    def set(self, at: datetime | None, summary: str) -> None:
        """Fire at `at`, or never if None; `summary` is the timer's text in the Temporal UI.

        A very distant time is reached by several timers: the caller has to check the time when it
        fires, and set it again.
        """
        if at is not None and at <= workflow.now():
            self.fired = True
            return
        if at == self._at:
            return
        self.stop()
        self._at = at
        self._task = asyncio.create_task(self._sleep_until(at, summary)) if at is not None else None

    def stop(self) -> None:
        """Cancel the running timer, if any."""
        if self._task is not None:
            self._task.cancel()

    async def _sleep_until(self, at: datetime, summary: str) -> None:
        await workflow.sleep(min(at - workflow.now(), timeouts.MAX_TIMER), summary=summary)
        self._at = None
        self.fired = True
