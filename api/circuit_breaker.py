"""Circuit breaker that keeps reads fast while workflow queries are not answered."""

import time
from collections.abc import Callable

PAUSE_SECONDS = 5.0


class CircuitBreaker:
    """Stops workflow queries for some seconds after one was not answered.

    Without a worker a query never fails fast: it waits for its whole timeout, and so would
    every read.
    """

    def __init__(
        self, pause: float = PAUSE_SECONDS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pause = pause
        self._clock = clock
        self._open_until = float("-inf")

    @property
    def is_open(self) -> bool:
        """Whether queries are to be skipped."""
        return self._clock() < self._open_until

    def trip(self) -> None:
        """Record that a query was not answered."""
        self._open_until = self._clock() + self._pause
