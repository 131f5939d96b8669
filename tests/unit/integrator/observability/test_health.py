"""Health of a process over time."""

import pytest

from integrator.observability.health import (
    EVENT_LOOP,
    OK,
    HealthStatus,
    ProcessHealth,
    starting,
    unhealthy,
    waiting,
    worst,
)


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def status(health: ProcessHealth) -> HealthStatus:
    return worst(health.read().values()).status


def test_the_start_is_bounded(clock: Clock) -> None:
    health = ProcessHealth(clock)
    assert status(health) == "starting"
    clock.now += 59
    assert status(health) == "starting"
    clock.now += 2
    assert status(health) == "unhealthy"


def test_without_any_check_a_turning_loop_is_starting_only_for_a_while(clock: Clock) -> None:
    health = ProcessHealth(clock)
    clock.now += 59
    health.beat()
    assert health.read()[EVENT_LOOP] == OK
    assert status(health) == "starting"
    clock.now += 2
    health.beat()
    assert status(health) == "unhealthy"


def test_a_blocked_loop_is_unhealthy(clock: Clock) -> None:
    health = ProcessHealth(clock)
    health.beat()
    health.report({"store": OK})
    assert status(health) == "ok"
    clock.now += 20
    assert status(health) == "ok"
    clock.now += 1
    assert health.read()[EVENT_LOOP] == unhealthy("the event loop last ran 21 s ago")
    health.beat()
    assert status(health) == "ok"


def test_checks_that_no_longer_run_are_unhealthy(clock: Clock) -> None:
    health = ProcessHealth(clock)
    health.report({"store": OK})
    clock.now += 61
    health.beat()
    assert health.read() == {
        EVENT_LOOP: OK,
        "store": OK,
        "checks": unhealthy("the last check was 61 s ago"),
    }


def test_reports_of_other_checks_are_kept() -> None:
    health = ProcessHealth()
    health.beat()
    health.report({"store": waiting("away"), "temporal": OK})
    health.report({"temporal": starting("connects")})
    assert health.read() == {
        EVENT_LOOP: OK,
        "store": waiting("away"),
        "temporal": starting("connects"),
    }


def test_the_worst_check_decides() -> None:
    checks = [OK, starting("s"), waiting("w"), unhealthy("u")]
    for count in range(1, len(checks) + 1):
        assert worst(checks[:count]) == checks[count - 1]
