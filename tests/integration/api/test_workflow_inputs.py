"""Workflow inputs built from stored transactions."""

from datetime import date

import pytest

from integrator.transactions.workflow_inputs import initial_input, read_state, resume_input
from tests.integration.api.builders import STATE_MEMBERS, transaction_row
from tests.integration.api.fakes import FakeAdapter
from workflows.messages import PaymentInput, PreauthInput, RefundInput
from workflows.state import AnyState, PaymentState, PreauthState, RefundState

pytestmark = pytest.mark.usefixtures("adapter")

STATES: list[AnyState] = [
    PreauthState(**STATE_MEMBERS),
    PaymentState(**STATE_MEMBERS, due_date=date(2026, 2, 19)),
    RefundState(**STATE_MEMBERS, payment_id="p"),
]


def test_a_preauths_input(adapter: FakeAdapter) -> None:
    state = PreauthState(**STATE_MEMBERS)
    start = initial_input(transaction_row(state))
    assert isinstance(start, PreauthInput)
    assert start.role is state.role
    assert start.agreement_id == "agr-1"
    assert start.key_window_seconds == adapter.capabilities.idempotency.window_seconds


def test_a_payments_input() -> None:
    state = PaymentState(**STATE_MEMBERS, due_date=date(2026, 2, 19))
    start = initial_input(transaction_row(state, related_id="p"))
    assert isinstance(start, PaymentInput)
    assert (start.preauth_id, start.execute_on) == ("p", date(2026, 2, 19))


def test_a_refunds_input() -> None:
    state = RefundState(**STATE_MEMBERS, payment_id="p")
    start = initial_input(transaction_row(state, related_id="p"))
    assert isinstance(start, RefundInput)
    assert start.payment_id == "p"
    with pytest.raises(ValueError, match="payment"):
        initial_input(transaction_row(state))


@pytest.mark.parametrize("state", STATES)
def test_only_a_resumed_transaction_has_a_state(state: AnyState) -> None:
    row = transaction_row(state, related_id="p")
    assert initial_input(row).resume is None
    assert resume_input(row).resume == state


def test_a_newer_state_than_the_stored_one_is_resumed() -> None:
    stored = PaymentState(**STATE_MEMBERS, due_date=date(2026, 2, 19))
    newer = stored.model_copy(update={"version": 7})
    start = resume_input(transaction_row(stored), newer)
    assert isinstance(start, PaymentInput)
    assert (start.resume, start.execute_on) == (newer, date(2026, 2, 19))


@pytest.mark.parametrize("state", STATES)
def test_snapshots_are_read_back(state: AnyState) -> None:
    assert read_state(state.kind, state.model_dump_json()) == state
