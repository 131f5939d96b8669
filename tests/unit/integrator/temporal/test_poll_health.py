"""Health of the pollers, from the text that the SDK exports."""

from dataclasses import dataclass, field

import pytest

from integrator.observability.health import HealthCheck
from integrator.temporal.poll_health import OPERATIONS, PollCounts, PollHealth, parse_counts

WORKFLOW, ACTIVITY = OPERATIONS
METRICS = """\
# HELP temporal_long_request_total Count of long-poll client requests by rpc name
# TYPE temporal_long_request_total counter
temporal_long_request_total{namespace="d",operation="PollWorkflowTaskQueue",task_queue="q"} 24
temporal_long_request_total{namespace="d",operation="PollActivityTaskQueue",task_queue="q"} 12
temporal_long_request_failure_total{operation="PollWorkflowTaskQueue",\
status_code="TRANSPORT_ERROR",task_queue="q"} 6
temporal_long_request_failure_total{operation="PollWorkflowTaskQueue",\
status_code="UNAVAILABLE",task_queue="q"} 5
temporal_long_request_latency_seconds_count{operation="PollWorkflowTaskQueue",task_queue="q"} 23
temporal_long_request_latency_seconds_sum{operation="PollWorkflowTaskQueue",task_queue="q"} 99
temporal_worker_task_slots_available{task_queue="q",worker_type="ActivityWorker"} 4
temporal_worker_task_slots_available{task_queue="q",worker_type="WorkflowWorker"} 0
temporal_long_request_total{namespace="d",operation="PollWorkflowExecutionUpdate"} 3
temporal_long_request_latency_seconds_count{operation="PollWorkflowExecutionUpdate"} 3
temporal_request_total{operation="GetSystemInfo"} 1
"""


@dataclass
class Pollers:
    """Pollers of one queue, whose counts a test changes, and their health."""

    now: float = 1000.0
    available: bool = True
    counts: dict[str, PollCounts] = field(
        default_factory=lambda: {operation: PollCounts(slots=4) for operation in OPERATIONS}
    )

    def __post_init__(self) -> None:
        self.health = PollHealth({"transactions": "q"}, clock=lambda: self.now)

    def begin(self, count: int = 1, *operations: str) -> None:
        for operation in operations or OPERATIONS:
            self.counts[operation].started += count

    def end(self, count: int = 1, *, failed: bool = False) -> None:
        for operation in OPERATIONS:
            self.counts[operation].ended += count
            self.counts[operation].failed += count if failed else 0

    def check(self, after: float = 0.0) -> HealthCheck:
        """Let time pass and check."""
        self.now += after
        return self.health.update(self._text(), available=self.available)["transactions"]

    def _text(self) -> str:
        lines = []
        for operation, counts in self.counts.items():
            labels = f'operation="{operation}",task_queue="q"'
            worker = "WorkflowWorker" if operation == WORKFLOW else "ActivityWorker"
            lines += [
                f"temporal_long_request_total{{{labels}}} {counts.started}",
                f"temporal_long_request_failure_total{{{labels}}} {counts.failed}",
                f"temporal_long_request_latency_seconds_count{{{labels}}} {counts.ended}",
                f'temporal_worker_task_slots_available{{task_queue="q",worker_type="{worker}"}} '
                f"{counts.slots}",
            ]
        return "\n".join(lines)


@pytest.fixture
def pollers() -> Pollers:
    return Pollers()


def test_counts_are_parsed_by_queue_and_operation() -> None:
    counts = parse_counts(METRICS)
    assert counts == {
        ("q", WORKFLOW): PollCounts(started=24, ended=23, failed=11, slots=0),
        ("q", ACTIVITY): PollCounts(started=12, slots=4),
    }
    assert counts["q", WORKFLOW].succeeded == 12
    assert parse_counts("") == {}


def test_the_first_poll_is_enough_and_idle_polls_keep_it_healthy(pollers: Pollers) -> None:
    assert pollers.check().status == "starting"
    pollers.begin(5)
    assert pollers.check().status == "ok"
    for _ in range(5):
        assert pollers.check(after=60).status == "ok"
        pollers.end()
        pollers.begin()


def test_a_worker_that_never_polls_becomes_unhealthy(pollers: Pollers) -> None:
    pollers.check()
    assert pollers.check(after=90).status == "starting"
    assert pollers.check(after=1).status == "unhealthy"


@pytest.mark.parametrize("stopped", OPERATIONS)
def test_one_stopped_poller_is_unhealthy(pollers: Pollers, stopped: str) -> None:
    (running,) = set(OPERATIONS) - {stopped}
    pollers.begin(5)
    pollers.check()
    pollers.begin(1, running)
    assert pollers.check(after=60).status == "ok"
    pollers.begin(1, running)
    result = pollers.check(after=31)
    assert result.status == "unhealthy"
    name = "workflow tasks" if stopped == WORKFLOW else "activities"
    assert result.reason == f"{name}: no poll for 91 s, although Temporal answers"


def test_metrics_that_cannot_be_read_are_no_polls(pollers: Pollers) -> None:
    pollers.begin()
    pollers.check()
    pollers.counts.clear()
    assert pollers.check(after=91).status == "unhealthy"


def test_a_worker_with_all_slots_in_use_does_not_poll(pollers: Pollers) -> None:
    pollers.begin()
    pollers.check()
    for counts in pollers.counts.values():
        counts.slots = 0
    assert pollers.check(after=600).status == "ok"


def test_an_outage_is_waiting_and_polls_have_time_to_return(pollers: Pollers) -> None:
    pollers.begin(20)
    pollers.check()
    pollers.available = False
    pollers.end(20, failed=True)
    for _ in range(10):
        pollers.begin()
        pollers.end(failed=True)
        result = pollers.check(after=60)
    assert result.status == "waiting"
    assert "Temporal does not answer" in result.reason
    pollers.available = True
    assert pollers.check(after=5).status == "waiting"  # the last polls failed
    pollers.begin()
    assert pollers.check(after=5).status == "ok"


def test_a_hanging_server_that_returns_is_not_blamed_on_the_worker(pollers: Pollers) -> None:
    pollers.begin(5)
    pollers.check()
    pollers.available = False
    assert pollers.check(after=600).status == "waiting"
    pollers.available = True
    assert pollers.check(after=5).status == "starting"
    assert pollers.check(after=90).status == "starting"
    assert pollers.check(after=1).status == "unhealthy"


def test_refused_polls_are_waiting(pollers: Pollers) -> None:
    pollers.begin()
    pollers.check()
    for _ in range(20):
        pollers.end(failed=True)
        pollers.begin()
        result = pollers.check(after=10)
    assert result.status == "waiting"
    assert "refuses the polls" in result.reason
