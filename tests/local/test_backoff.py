"""The waits between two starts of a process."""

from devtools.devstack.backoff import Backoff


def test_grows_from_death_to_death_up_to_a_limit() -> None:
    backoff = Backoff()
    assert [backoff.next_delay(1) for _ in range(8)] == [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10, 10]


def test_starts_afresh_after_a_steady_time() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.next_delay(0)
    assert backoff.next_delay(29.9) == 6.4
    assert backoff.next_delay(30) == 0.2
    assert backoff.next_delay(0) == 0.4
