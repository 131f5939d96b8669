"""How long to wait before a process that died is started again."""

FIRST_SECONDS = 0.2
LONGEST_SECONDS = 10.0
STEADY_SECONDS = 30.0


class Backoff:
    """Doubles from death to death; a process that was up for long enough starts afresh."""

    def __init__(self) -> None:
        self._next = FIRST_SECONDS

    def after(self, uptime: float) -> float:
        """Seconds to wait after a death that came `uptime` seconds after the start."""
        if uptime >= STEADY_SECONDS:
            self._next = FIRST_SECONDS
        delay = self._next
        self._next = min(delay * 2, LONGEST_SECONDS)
        return delay
