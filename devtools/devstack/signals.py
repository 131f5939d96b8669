"""Ctrl-C and its relatives: the first asks the work to end, any further one says at once."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Whether a signal has come, and what a second one shall do."""

    def __init__(self) -> None:
        self.came = False
        self.hurry: Callable[[], None] | None = None

    def handle(self, task: "asyncio.Task[object]") -> None:
        """Take one signal."""
        if not self.came:
            self.came = True
            task.cancel()
        elif self.hurry is not None:
            self.hurry()


@contextmanager
def interrupts() -> Iterator[Interrupts]:
    """While this lasts, the first signal cancels the current task."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - narrows the type; there always is one here
    state = Interrupts()
    for number in _SIGNALS:
        loop.add_signal_handler(number, state.handle, task)
    try:
        yield state
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
