"""State of a debit with a day: when it waits, and on which day its movement is booked."""

from datetime import date, timedelta

import pytest

from integrator.psp.types import Pending
from tests.unit.workflows.test_state import T0, approved, evidence, paid, payment
from workflows.state import Change
from workflows.timeline import build_timeline

SEND_AT = T0 + timedelta(days=30)


def test_a_debit_waits_until_it_has_an_outcome() -> None:
    state = payment(send_at=SEND_AT)
    assert state.waiting_until == SEND_AT
    state.mark_pending(T0)
    assert state.waiting_until == SEND_AT
    state.apply(Pending(psp_id="ch_1"), evidence())
    assert state.waiting_until is None


def test_the_timeline_says_when_a_debit_is_sent() -> None:
    state = payment(send_at=SEND_AT, due_date=date(2026, 2, 28))
    state.mark_pending(T0)
    timeline = build_timeline(state, None, T0)
    assert timeline.status_reason == (
        "Pending, because it waits for its day and has no answer of the PSP."
    )
    assert timeline.next_steps == (
        "It is sent to the PSP at 2026-02-14 09:00:00 UTC, or at once after that.",
        "It is to be executed on 2026-02-28.",
    )


def test_a_payment_without_a_time_does_not_wait() -> None:
    assert payment().waiting_until is None


@pytest.mark.parametrize("answered", [False, True])
def test_a_merge_keeps_what_is_further(answered: bool) -> None:
    rewound, stored = payment(send_at=SEND_AT), payment(send_at=SEND_AT)
    stored.mark_pending(T0)
    if answered:
        stored.apply(Pending(psp_id="ch_1"), evidence())
    rewound.merge_stored(stored, T0)
    assert rewound == stored
    assert (rewound.waiting_until is None) is answered


@pytest.mark.parametrize(
    ("first", "later", "shown"),
    [
        (date(2026, 1, 15), date(2026, 1, 20), date(2026, 1, 15)),
        (None, date(2026, 1, 20), date(2026, 1, 20)),
        (date(2026, 1, 15), None, date(2026, 1, 15)),
    ],
)
def test_a_movement_stays_on_the_day_that_was_reported_first(
    first: date | None, later: date | None, shown: date
) -> None:
    state = payment()
    state.apply(approved(paid(booked_on=first)), evidence())
    change = state.apply(approved(paid(booked_on=later)), evidence())
    assert state.facts["ch_1"].booked_on == shown
    assert (change is Change.VISIBLE) is (first is None)
