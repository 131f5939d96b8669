"""What a workflow counts of its states."""

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from temporalio import workflow

from integrator.contract.enums import (
    PaymentErrorCode,
    PaymentTransactionStatus,
    PublicPaymentProviderRole,
)
from workflows.messages import PaymentInput
from workflows.metrics import ATTENTION, OUTCOMES, REOPENED, StateMetrics
from workflows.state import Failure, PaymentState

NOW = datetime(2026, 1, 15, tzinfo=UTC)
Key = tuple[str, ...]
Role = PublicPaymentProviderRole


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[Key]:
    """Name and the values of the labels, sorted by label, to how often."""
    found: Counter[Key] = Counter()

    class Meter:
        def create_counter(self, name: str, _help: str) -> "Meter":
            self.name = name
            return self

        def add(self, count: int, labels: Mapping[str, str]) -> None:
            found[(self.name, *(labels[label] for label in sorted(labels)))] += count

    monkeypatch.setattr(workflow, "metric_meter", Meter)
    return found


@pytest.fixture
def start() -> PaymentInput:
    return PaymentInput(
        merchant_id="demo",
        psp="sandbox",
        psp_settings_id="s",
        transaction_id="t",
        external_id="e",
        role=Role.CreditCard,
        currency="EUR",
        requested_amount=Decimal(1),
        key_window_seconds=60,
    )


@pytest.fixture
def state() -> PaymentState:
    return PaymentState(
        transaction_id="t",
        external_id="e",
        role=Role.CreditCard,
        currency="EUR",
        requested_amount=Decimal(1),
        last_updated=NOW,
    )


def test_a_status_is_counted_when_it_is_reached_and_not_again(
    counted: Counter[Key], start: PaymentInput, state: PaymentState
) -> None:
    watcher = StateMetrics(start, state, resumed=False)
    watcher.observe(state)
    assert counted == {}
    state.status = PaymentTransactionStatus.Pending
    watcher.observe(state)
    watcher.observe(state)
    state.status = PaymentTransactionStatus.Failed
    code = PaymentErrorCode.InsufficientBalance
    state.failure = Failure(code=code, psp_code=None, message=None, received_at=NOW)
    watcher.observe(state)
    assert counted == {
        (OUTCOMES.name, "none", "payment", "sandbox", "Pending"): 1,
        (OUTCOMES.name, "InsufficientBalance", "payment", "sandbox", "Failed"): 1,
    }


def test_every_reason_for_a_person_is_counted_once(
    counted: Counter[Key], start: PaymentInput, state: PaymentState
) -> None:
    state.flag_attention("known before")
    watcher = StateMetrics(start, state, resumed=False)
    for text in ("one", "two", "one"):
        state.flag_attention(text)
        watcher.observe(state)
    assert counted == {(ATTENTION.name, "payment", "sandbox"): 2}


def test_a_reopened_run_counts_itself_and_not_what_was_before(
    counted: Counter[Key], start: PaymentInput, state: PaymentState
) -> None:
    state.status = PaymentTransactionStatus.Succeeded
    watcher = StateMetrics(start, state, resumed=True)
    watcher.observe(state)
    assert counted == {(REOPENED.name, "payment", "sandbox"): 1}
