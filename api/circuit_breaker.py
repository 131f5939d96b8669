"""Keeps reads fast while nobody answers queries."""

import time
from collections.abc import Callable

PAUSE_SECONDS = 5.0


class Breaker:
    """After one unanswered question, nobody asks for some seconds.

    Without a worker a query never fails fast: it waits for its whole timeout, and so would
    every reader.
    """

    def __init__(
        self, pause: float = PAUSE_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pause = pause
        self._clock = clock
        self._until = float("-inf")

    @property
    def tripped(self) -> bool:
        """True while asking is not worth it."""
        return self._clock() < self._until

    def trip(self) -> None:
        """A question was not answered."""
        self._until = self._clock() + self._pause
