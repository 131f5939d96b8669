"""Test `explain`: the workflow's or the store's state on one screen."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from temporalio.service import RPCError, RPCStatusCode

from integrator.admin.errors import OperatorError
from integrator.operations.explain import render
from integrator.operations.explain.query import Source, explain
from integrator.operations.transaction_lookup import find_transaction
from integrator.psp.types import Approved, Fact, FactKind
from integrator.store import DeliveryRow, NewDecision, Store, TransactionRow
from integrator.transactions.workflow_inputs import read_state
from tests.integration.activities.conftest import NOW
from tests.integration.integrator.operations.conftest import (
    PROOF,
    FakeTransactionClient,
    TransactionScenarios,
    reload,
)
from tests.integration.integrator.store.builders import new_notification
from workflows.messages import Delivery, DeliveryState


def delivery(row: TransactionRow, **changes: Any) -> DeliveryRow:
    return replace(
        DeliveryRow(
            merchant_id=row.merchant_id,
            transaction_id=row.transaction_id,
            version=row.version,
            state="delivered",
            attempts=2,
            began_at=NOW,
            last_attempt_at=NOW + timedelta(seconds=5),
            delivered_at=NOW + timedelta(seconds=5),
            last_status=200,
        ),
        **changes,
    )


async def add_related_records(store: Store, row: TransactionRow) -> None:
    """Add a delivery, a notification and a decision of the transaction."""
    merchant = await store.merchants.get(row.merchant_id)
    assert merchant is not None
    await store.deliveries.record(delivery(row))
    await store.notifications.add(
        new_notification(merchant, "evt_1", transaction_id=row.transaction_id)
    )
    await store.decisions.add(
        NewDecision(
            merchant_id=row.merchant_id,
            kind="acknowledge",
            decided_by="ada",
            reason="looked at the dashboard",
            transaction_id=row.transaction_id,
        )
    )


async def test_workflow_and_store_give_the_same_timeline(
    store: Store, scenarios: TransactionScenarios, transaction_client: FakeTransactionClient
) -> None:
    row = await scenarios.paid()
    await add_related_records(store, row)
    transaction_client.add_workflow(row, read_state(row.kind, row.snapshot))
    from_workflow = await explain(store, transaction_client, row)
    transaction_client.states.clear()
    from_store = await explain(store, transaction_client, row)
    assert (from_workflow.source, from_store.source) == (Source.WORKFLOW, Source.STORE_GONE)
    first, second = render.render(from_workflow).split("\n"), render.render(from_store).split("\n")
    differing = [(a, b) for a, b in zip(first, second, strict=True) if a != b]
    assert differing == [
        (
            "Present state of its workflow.",
            "State from the store: Temporal does not keep its workflow any more.",
        )
    ]
    text = "\n".join(first)
    for expected in ("`ch_1`", "answered our call", "evt_1", "ada: acknowledge", "2 attempts"):
        assert expected in text


@pytest.mark.parametrize(
    "error",
    [RPCError("unavailable", RPCStatusCode.UNAVAILABLE, b""), RuntimeError("no"), TimeoutError()],
    ids=lambda error: type(error).__name__,
)
async def test_an_unavailable_temporal_is_reported(
    store: Store,
    scenarios: TransactionScenarios,
    transaction_client: FakeTransactionClient,
    error: Exception,
) -> None:
    row = await scenarios.paid()
    transaction_client.outage = error
    details = await explain(store, transaction_client, row)
    assert details.source is Source.STORE_SILENT
    assert "did not respond" in render.render(details)


async def test_a_workflow_state_newer_than_the_store_is_used(
    store: Store, scenarios: TransactionScenarios, transaction_client: FakeTransactionClient
) -> None:
    row = await scenarios.undecided()
    ahead = read_state(row.kind, row.snapshot)
    fact = Fact(kind=FactKind.PAID, id="ch_1", amount=row.requested_amount)
    ahead.apply(Approved(psp_id="ch_1", facts=(fact,)), PROOF)
    transaction_client.add_workflow(row, ahead)
    assert "Succeeded" in render.render(await explain(store, transaction_client, row))


async def test_a_delivery_interrupted_by_the_workflows_end_counts_as_given_up(
    store: Store, scenarios: TransactionScenarios, transaction_client: FakeTransactionClient
) -> None:
    row = await scenarios.paid()
    delivering = delivery(row, state="delivering", delivered_at=None, last_status=503)
    await store.deliveries.record(delivering)
    assert any(
        "given up" in line
        for line in (await explain(store, transaction_client, row)).timeline.next_steps
    )
    transaction_client.outage = TimeoutError()
    assert any(
        "being delivered" in line
        for line in (await explain(store, transaction_client, row)).timeline.next_steps
    )


async def test_a_reopened_run_does_not_hide_earlier_deliveries(
    store: Store, scenarios: TransactionScenarios, transaction_client: FakeTransactionClient
) -> None:
    row = await scenarios.paid()
    await store.deliveries.record(delivery(row))
    transaction_client.add_workflow(row, read_state(row.kind, row.snapshot))
    transaction_client.deliveries[f"demo/payment/{row.transaction_id}"] = Delivery(
        state=DeliveryState.IDLE, to_announce=row.version, announced=row.version
    )
    timeline = (await explain(store, transaction_client, row)).timeline
    assert any("delivered" in line.text for line in timeline.happened)


async def test_a_long_timeline_fits_on_the_screen(
    store: Store, scenarios: TransactionScenarios, transaction_client: FakeTransactionClient
) -> None:
    row = await scenarios.paid()
    state = read_state(row.kind, row.snapshot)
    for number in range(60):
        fact = Fact(kind=FactKind.CHARGED_BACK, id=f"cb_{number}", amount=row.requested_amount)
        state.apply(Approved(psp_id="ch_1", facts=(fact,)), PROOF)
        state.flag_attention(f"Look at number {number}.")
    row = await scenarios.record(row, state)
    merchant = await store.merchants.get("demo")
    assert merchant is not None
    for number in range(30):
        await store.deliveries.record(delivery(row, version=number))
        await store.notifications.add(
            new_notification(merchant, f"evt_{number}", transaction_id=row.transaction_id)
        )
        await add_related_records(store, row)
    details = await explain(store, transaction_client, row)
    lines = render.render(details).split("\n")
    assert len(lines) <= render.MAX_LINES
    assert sum("more (--json shows all)" in line for line in lines) == 5
    document = render.to_document(details)
    assert len(document["happened"]) > 60
    assert len(document["webhooks"]) == 31


async def test_psp_texts_cannot_control_the_terminal(
    store: Store, scenarios: TransactionScenarios, transaction_client: FakeTransactionClient
) -> None:
    row = await scenarios.paid()
    state = read_state(row.kind, row.snapshot)
    state.flag_attention("\x1b]0;owned\x07 look")
    row = await scenarios.record(row, state)
    assert "\x1b" not in render.render(await explain(store, transaction_client, row))


async def test_a_transaction_is_found_by_each_of_its_ids(
    store: Store, scenarios: TransactionScenarios
) -> None:
    row = await scenarios.paid()
    for name in (row.transaction_id, "ch_1", "e" * 24):
        assert (await find_transaction(store, name, None)).transaction_id == row.transaction_id
    with pytest.raises(OperatorError, match="Transaction 'ch_2' does not exist"):
        await find_transaction(store, "ch_2", None)
    other = await store.merchants.add("zeta", "fake")
    await add_charge_of(store, scenarios, other.id)
    with pytest.raises(OperatorError, match=r"--merchant demo\|zeta"):
        await find_transaction(store, row.transaction_id, None)
    assert (await find_transaction(store, row.transaction_id, "zeta")).merchant_id == "zeta"


async def add_charge_of(store: Store, scenarios: TransactionScenarios, name: str) -> None:
    """Create the same transaction for another merchant."""
    merchant = await store.merchants.get(name)
    assert merchant is not None
    row = await replace(scenarios.factory, merchant=merchant).charge()
    assert (await reload(store, row)).merchant_id == name
