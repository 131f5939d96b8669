"""Test redelivery of one or many transactions."""

from dataclasses import replace
from datetime import timedelta

import pytest
from temporalio.service import RPCError, RPCStatusCode

from integrator.operations import redelivery
from integrator.store import Store, TransactionFilter, TransactionRow
from tests.integration.activities.conftest import NOW
from tests.integration.integrator.operations.conftest import (
    FakeTransactionClient,
    TransactionScenarios,
)
from tests.integration.integrator.operations.test_explain import delivery

UNDELIVERED = TransactionFilter(webhook="undelivered")


def ignore_progress(done: int, total: int) -> None:
    return None


@pytest.fixture
async def undelivered(store: Store, scenarios: TransactionScenarios) -> TransactionRow:
    row = await scenarios.paid()
    await store.deliveries.record(delivery(row, state="undelivered", delivered_at=None))
    return row


async def test_undelivered_notifications_are_redelivered(
    store: Store,
    scenarios: TransactionScenarios,
    transaction_client: FakeTransactionClient,
    undelivered: TransactionRow,
) -> None:
    await scenarios.factory.refund()  # with its payment and its preauth
    steps: list[tuple[int, int]] = []
    result = await redelivery.redeliver_matching(
        store, transaction_client, UNDELIVERED, lambda *step: steps.append(step), dry_run=False
    )
    assert transaction_client.calls == [("redeliver", undelivered.transaction_id)]
    assert transaction_client.starts[0].resume is not None
    assert (result.asked, result.skipped, result.failed) == (
        [f"demo/{undelivered.transaction_id}"],
        [],
        [],
    )
    assert steps == [(0, 1), (1, 1)]


async def test_a_dry_run_signals_no_workflow(
    store: Store, transaction_client: FakeTransactionClient, undelivered: TransactionRow
) -> None:
    result = await redelivery.redeliver_matching(
        store, transaction_client, UNDELIVERED, ignore_progress, dry_run=True
    )
    assert (len(result.asked), transaction_client.calls) == (1, [])
    assert "1 transactions would be announced" in redelivery.render(result, dry_run=True)


async def test_unstarted_transactions_are_skipped(
    store: Store, scenarios: TransactionScenarios, transaction_client: FakeTransactionClient
) -> None:
    row = await scenarios.factory.charge()
    assert not await redelivery.redeliver(transaction_client, row)
    result = await redelivery.redeliver_matching(
        store, transaction_client, TransactionFilter(), ignore_progress, dry_run=False
    )
    assert (result.asked, len(result.skipped), transaction_client.calls) == ([], 1, [])


async def test_unreachable_transactions_are_named(
    store: Store, transaction_client: FakeTransactionClient, undelivered: TransactionRow
) -> None:
    transaction_client.outage = RPCError("unavailable", RPCStatusCode.UNAVAILABLE, b"")
    result = await redelivery.redeliver_matching(
        store, transaction_client, UNDELIVERED, ignore_progress, dry_run=False
    )
    assert result.failed == [f"demo/{undelivered.transaction_id}"]
    assert undelivered.transaction_id in redelivery.render(result, dry_run=False)


async def test_times_are_those_of_the_last_attempt(
    store: Store, transaction_client: FakeTransactionClient, undelivered: TransactionRow
) -> None:
    conditions = replace(
        UNDELIVERED, attempted_since=NOW, attempted_until=NOW + timedelta(minutes=1)
    )
    assert await store.transaction_search.count(conditions) == 1
    later = replace(UNDELIVERED, attempted_since=NOW + timedelta(minutes=1))
    assert await store.transaction_search.count(later) == 0
