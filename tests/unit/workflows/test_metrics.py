"""Counters of a workflow's states."""

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
def counts(monkeypatch: pytest.MonkeyPatch) -> Counter[Key]:
    """Map (name, values of the labels sorted by label) to the count."""
    counts: Counter[Key] = Counter()

    class Meter:
        def create_counter(self, name: str, _help: str) -> "Meter":
            self.name = name
            return self

        def add(self, count: int, labels: Mapping[str, str]) -> None:
            counts[(self.name, *(labels[label] for label in sorted(labels)))] += count

    monkeypatch.setattr(workflow, "metric_meter", Meter)
    return counts


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
    counts: Counter[Key], start: PaymentInput, state: PaymentState
) -> None:
    metrics = StateMetrics(start, state, resumed=False)
    metrics.observe(state)
    assert counts == {}
    state.status = PaymentTransactionStatus.Pending
    metrics.observe(state)
    metrics.observe(state)
    state.status = PaymentTransactionStatus.Failed
    code = PaymentErrorCode.InsufficientBalance
    state.failure = Failure(code=code, psp_code=None, message=None, received_at=NOW)
    metrics.observe(state)
    assert counts == {
        (OUTCOMES.name, "none", "payment", "sandbox", "Pending"): 1,
        (OUTCOMES.name, "InsufficientBalance", "payment", "sandbox", "Failed"): 1,
    }


def test_every_attention_line_is_counted_once(
    counts: Counter[Key], start: PaymentInput, state: PaymentState
) -> None:
    state.flag_attention("known before")
    metrics = StateMetrics(start, state, resumed=False)
    for text in ("one", "two", "one"):
        state.flag_attention(text)
        metrics.observe(state)
    assert counts == {(ATTENTION.name, "payment", "sandbox"): 2}


def test_a_reopened_run_counts_itself_and_not_earlier_changes(
    counts: Counter[Key], start: PaymentInput, state: PaymentState
) -> None:
    state.status = PaymentTransactionStatus.Succeeded
    metrics = StateMetrics(start, state, resumed=True)
    metrics.observe(state)
    assert counts == {(REOPENED.name, "payment", "sandbox"): 1}
