"""Shutdown signals: the first cancels the current task, any further one stops at once."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ShutdownSignals:
    """Whether a signal was received, and what to call for any further one."""

    def __init__(self) -> None:
        self.received = False
        self.on_second_signal: Callable[[], None] | None = None

    def handle(self, task: "asyncio.Task[object]") -> None:
        """Handle one signal."""
        if not self.received:
            self.received = True
            task.cancel()
        elif self.on_second_signal is not None:
            self.on_second_signal()


@contextmanager
def handle_shutdown_signals() -> Iterator[ShutdownSignals]:
    """Cancel the current task on the first signal for as long as the context lasts."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - narrows the type; a task is always running here
    state = ShutdownSignals()
    for number in _SIGNALS:
        loop.add_signal_handler(number, state.handle, task)
    try:
        yield state
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
