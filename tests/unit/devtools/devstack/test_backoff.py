"""Delays between restarts of a process."""

from devtools.devstack.backoff import Backoff


def test_the_delay_doubles_up_to_a_limit() -> None:
    backoff = Backoff()
    assert [backoff.next_delay(1) for _ in range(8)] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10]


def test_the_delay_is_reset_after_a_long_uptime() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.next_delay(0)
    assert backoff.next_delay(29.9) == 6.4
    assert backoff.next_delay(30) == 0.2
    assert backoff.next_delay(0) == 0.4
