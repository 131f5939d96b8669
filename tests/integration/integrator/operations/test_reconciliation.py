"""Test look-ups and reconciliation started by an operator."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from integrator.admin.errors import OperatorError
from integrator.operations import reconciliation
from integrator.operations.reconciliation import ComparisonResult
from integrator.operations.time_parsing import parse_time
from integrator.psp.types import Approved, Fact, FactKind
from integrator.store import Store
from integrator.transactions.workflow_inputs import read_state
from tests.integration.integrator.operations.conftest import (
    PROOF,
    FakeTransactionClient,
    TransactionScenarios,
)
from workflows.messages import ReconcileReport
from workflows.state import AnyState

SOON = timedelta(seconds=5)


async def test_a_look_up_waits_for_a_change(
    store: Store,
    scenarios: TransactionScenarios,
    transaction_client: FakeTransactionClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reconciliation, "_POLL_INTERVAL_S", 0.01)
    row = await scenarios.undecided()
    fact = Fact(kind=FactKind.PAID, id="ch_1", amount=row.requested_amount)

    def succeed(state: AnyState) -> None:
        state.apply(Approved(psp_id="ch_1", facts=(fact,)), PROOF)

    transaction_client.add_workflow(row, read_state(row.kind, row.snapshot))
    transaction_client.on_look_up = succeed
    result = await reconciliation.look_up(transaction_client, row, SOON)
    assert (result.status_before, result.status_after, result.changed) == (
        "Pending",
        "Succeeded",
        True,
    )
    assert "Pending before, Succeeded now" in reconciliation.render_lookup(result)


async def test_an_unchanged_transaction_is_reported(
    scenarios: TransactionScenarios,
    transaction_client: FakeTransactionClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reconciliation, "_POLL_INTERVAL_S", 0.01)
    row = await scenarios.paid()
    result = await reconciliation.look_up(transaction_client, row, timedelta(milliseconds=20))
    assert not result.changed
    assert "as before" in reconciliation.render_lookup(result)


async def test_an_unstarted_transaction_cannot_be_looked_up(
    scenarios: TransactionScenarios, transaction_client: FakeTransactionClient
) -> None:
    with pytest.raises(OperatorError, match="has not started"):
        await reconciliation.look_up(transaction_client, await scenarios.factory.charge(), SOON)


def test_counts_of_runs_are_added() -> None:
    result = ComparisonResult()
    result.add(ReconcileReport(movements={"matched": 2}))
    result.add(ReconcileReport(movements={"matched": 1}, sample={"compared": 1}))
    assert result.movements == Counter(matched=3)
    assert not result.found_problems
    assert "movements: 3 matched" in reconciliation.render_comparison(result)
    result.add(ReconcileReport(movements={"stray": 1}))
    assert result.found_problems
    result = ComparisonResult(problems={"sample_final": "unavailable"})
    assert result.found_problems
    assert "sample_final stopped early: unavailable" in reconciliation.render_comparison(result)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-15", datetime(2026, 1, 15, tzinfo=UTC)),
        ("2026-01-15T10:30", datetime(2026, 1, 15, 10, 30, tzinfo=UTC)),
        ("2026-01-15T10:30+02:00", datetime(2026, 1, 15, 8, 30, tzinfo=UTC)),
    ],
)
def test_absolute_times_are_parsed(text: str, expected: datetime) -> None:
    assert parse_time(text) == expected


@pytest.mark.parametrize(("text", "ago"), [("30m", 30 * 60), ("2h", 7200), ("7d", 7 * 86400)])
def test_relative_times_are_parsed(text: str, ago: int) -> None:
    expected = datetime.now(UTC) - timedelta(seconds=ago)
    assert abs(parse_time(text) - expected) < timedelta(seconds=5)


@pytest.mark.parametrize("text", ["", "yesterday", "2h ago", "10:30", "2026-13-01"])
def test_invalid_times_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_time(text)
