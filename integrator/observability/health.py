"""Health of a process: its event loop reports it, and the thread of the metrics server reads it."""

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

HEARTBEAT_S = 1.0
MAX_HEARTBEAT_AGE_S = 20.0
"""A loop that is blocked for longer is not busy but stuck; containers notice within a minute."""
MAX_REPORT_AGE_S = 60.0
"""Longer than any round of checks, all of which have timeouts."""
MAX_START_S = 60.0
"""Time for the start of the event loop and of the first checks."""

EVENT_LOOP = "event_loop"
_CHECKS = "checks"


class HealthStatus(StrEnum):
    """Result of a check; only an unhealthy process is helped by a restart."""

    OK = "ok"
    STARTING = "starting"
    WAITING = "waiting"
    """Another system is away; the process continues by itself when it is back."""
    UNHEALTHY = "unhealthy"


_SEVERITY = tuple(HealthStatus)


@dataclass(frozen=True)
class HealthCheck:
    """Result of one check; the reason is empty only if the status is `ok`."""

    status: HealthStatus
    reason: str = ""


OK = HealthCheck(HealthStatus.OK)


def starting(reason: str) -> HealthCheck:
    """Return the result for what has not begun yet."""
    return HealthCheck(HealthStatus.STARTING, reason)


def waiting(reason: str) -> HealthCheck:
    """Return the result for another system that is away."""
    return HealthCheck(HealthStatus.WAITING, reason)


def unhealthy(reason: str) -> HealthCheck:
    """Return the result for a failure of this process."""
    return HealthCheck(HealthStatus.UNHEALTHY, reason)


def worst(checks: Iterable[HealthCheck]) -> HealthCheck:
    """Return the first check with the worst status."""
    return max(checks, key=lambda check: _SEVERITY.index(check.status))


class ProcessHealth:
    """The last result of every check, and whether the event loop still turns.

    The loop writes and another thread reads: each attribute is replaced as a whole.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Take a monotonic clock in seconds."""
        self._clock = clock
        self._started_at = clock()
        self._beat_at: float | None = None
        self._reported_at: float | None = None
        self._checks: Mapping[str, HealthCheck] = {}

    def beat(self) -> None:
        """Record that the event loop turns."""
        self._beat_at = self._clock()

    async def run_heartbeat(self) -> None:
        """Beat until cancelled."""
        while True:
            self.beat()
            await asyncio.sleep(HEARTBEAT_S)

    def report(self, checks: Mapping[str, HealthCheck]) -> None:
        """Replace the results of these checks and keep those of all others."""
        self._checks = {**self._checks, **checks}
        self._reported_at = self._clock()

    def read(self) -> dict[str, HealthCheck]:
        """Return all checks by name; results that are no longer renewed are unhealthy."""
        now = self._clock()
        checks = {EVENT_LOOP: self._check_loop(now), **self._checks}
        if self._reported_at is None:
            checks[_CHECKS] = self._check_start(now)
        elif now - self._reported_at > MAX_REPORT_AGE_S:
            age = now - self._reported_at
            checks[_CHECKS] = unhealthy(f"the last check was {age:.0f} s ago")
        return checks

    def _check_loop(self, now: float) -> HealthCheck:
        if self._beat_at is None:
            return self._check_start(now)
        age = now - self._beat_at
        if age > MAX_HEARTBEAT_AGE_S:
            return unhealthy(f"the event loop last ran {age:.0f} s ago")
        return OK

    def _check_start(self, now: float) -> HealthCheck:
        age = now - self._started_at
        if age > MAX_START_S:
            return unhealthy(f"the start takes longer than {MAX_START_S:.0f} s")
        return starting("the process starts")
