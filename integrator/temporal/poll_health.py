"""Whether a worker of this process still polls its task queue, by the SDK's own metrics.

The server's list of pollers would not do: it keeps stopped ones for minutes, and with worker
versions or many workers it leaves some out. The SDK counts every long poll of this process.
"""

import re
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

from integrator.observability.health import (
    OK,
    HealthCheck,
    starting,
    unhealthy,
    waiting,
    worst,
)

MAX_POLL_AGE_S = 90.0
"""A long poll without a task ends after 60 s; the SDK gives up on one after 70 s."""

_STARTED = "temporal_long_request_total"
_FAILED = "temporal_long_request_failure_total"
_ENDED = "temporal_long_request_latency_seconds_count"
_SLOTS = "temporal_worker_task_slots_available"
_NEEDED = re.compile(rf"^(?:{_STARTED}|{_FAILED}|{_ENDED}|{_SLOTS})\{{.*$", re.MULTILINE)
_WORKER_TYPES = {
    "PollWorkflowTaskQueue": "WorkflowWorker",
    "PollActivityTaskQueue": "ActivityWorker",
}
_TASKS = {"PollWorkflowTaskQueue": "workflow tasks", "PollActivityTaskQueue": "activities"}
OPERATIONS = tuple(_TASKS)


@dataclass
class PollCounts:
    """Polls of one queue and operation since the start; `slots` is how many tasks it can take."""

    started: int = 0
    ended: int = 0
    failed: int = 0
    slots: int | None = None

    @property
    def succeeded(self) -> int:
        """Polls that the server answered, with a task or without."""
        return self.ended - self.failed


Sample = dict[tuple[str, str], PollCounts]
"""Counts by task queue and operation."""


def parse_counts(metrics: str) -> Sample:
    """Parse the SDK's metrics in Prometheus' text format."""
    counts: Sample = defaultdict(PollCounts)
    slots: dict[tuple[str, str], int] = {}
    needed = "\n".join(_NEEDED.findall(metrics)) + "\n"
    for family in text_string_to_metric_families(needed):
        for name, labels, value, *_ in family.samples:
            queue = labels.get("task_queue")
            if queue is None:
                continue  # a long poll of the client, such as one for the result of an update
            if name == _SLOTS:
                slots[queue, labels["worker_type"]] = int(value)
                continue
            entry = counts[queue, labels["operation"]]
            if name == _STARTED:
                entry.started += int(value)
            elif name == _FAILED:  # one sample for each status
                entry.failed += int(value)
            else:
                entry.ended += int(value)
    for (queue, operation), entry in counts.items():
        entry.slots = slots.get((queue, _WORKER_TYPES.get(operation, "")))
    return dict(counts)


class PollHistory:
    """Last progress of the polls of one task queue and operation."""

    def __init__(self, operation: str, now: float) -> None:
        self._tasks = _TASKS[operation]
        self._last = PollCounts()
        self._succeeded = 0
        self._begun_at = now
        self._polled_at: float | None = None
        self._failed_at: float | None = None

    def add(self, counts: PollCounts, now: float) -> None:
        """Compare with the counts before."""
        failed = counts.failed > self._last.failed
        if failed:
            self._failed_at = now
        # A poll that began counts as well, so that a new worker need not wait for its first answer.
        begun = counts.started > self._last.started and not failed
        full = counts.slots == 0  # it polls again when a task has ended
        if counts.succeeded > self._succeeded or begun or full:
            self._polled_at = now
            self._succeeded = max(self._succeeded, counts.succeeded)
        self._last = counts

    def check(self, now: float, available_since: float | None, max_age: float) -> HealthCheck:
        """Return the health; `available_since` is None while Temporal does not answer."""
        if self._polled_at is not None and now - self._polled_at <= max_age:
            return OK
        if available_since is None:
            return waiting(f"{self._tasks}: Temporal does not answer")
        if self._failed_at is not None and now - self._failed_at <= max_age:
            return waiting(f"{self._tasks}: Temporal refuses the polls; see the log")
        if now - max(available_since, self._begun_at, self._polled_at or 0.0) <= max_age:
            return starting(f"{self._tasks}: no poll yet")
        age = now - (self._polled_at or self._begun_at)
        return unhealthy(f"{self._tasks}: no poll for {age:.0f} s, although Temporal answers")


class PollHealth:
    """Checks of the polls of several task queues, by the name of the check."""

    def __init__(
        self,
        queues: dict[str, str],
        max_age: float = MAX_POLL_AGE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the task queue of each check, and how many seconds a poll may take."""
        self._max_age = max_age
        self._clock = clock
        now = clock()
        self._histories = {
            name: {operation: PollHistory(operation, now) for operation in OPERATIONS}
            for name in queues
        }
        self._queues = queues
        self._available_since: float | None = None

    def update(self, metrics: str, *, available: bool) -> dict[str, HealthCheck]:
        """Add a reading of the SDK's metrics; return the worse result of each queue's pollers."""
        now = self._clock()
        if not available:
            self._available_since = None
        elif self._available_since is None:
            self._available_since = now
        sample = parse_counts(metrics)
        for name, histories in self._histories.items():
            for operation, history in histories.items():
                counts = sample.get((self._queues[name], operation))
                if counts is not None:
                    history.add(counts, now)
        return {name: self._check(name, now) for name in self._histories}

    def _check(self, name: str, now: float) -> HealthCheck:
        return worst(
            history.check(now, self._available_since, self._max_age)
            for history in self._histories[name].values()
        )
