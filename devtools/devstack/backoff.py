"""Delay before a process that exited is restarted."""

INITIAL_SECONDS = 0.2
MAX_SECONDS = 10.0
RESET_AFTER_SECONDS = 30.0


class Backoff:
    """Exponential backoff; a process that ran for `RESET_AFTER_SECONDS` resets the delay."""

    def __init__(self) -> None:
        self._next = INITIAL_SECONDS

    def next_delay(self, uptime: float) -> float:
        """Return the seconds to wait after an exit that came `uptime` seconds after the start."""
        if uptime >= RESET_AFTER_SECONDS:
            self._next = INITIAL_SECONDS
        delay = self._next
        self._next = min(delay * 2, MAX_SECONDS)
        return delay
