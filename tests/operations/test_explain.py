"""A transaction explained: the workflow's word, else the store's, on one screen."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from temporalio.service import RPCError, RPCStatusCode

from integrator.admin.errors import OperatorError
from integrator.operations.explain import render
from integrator.operations.explain.query import Source, explain
from integrator.operations.transaction_lookup import the_one
from integrator.psp.types import Approved, Fact, FactKind
from integrator.store import DeliveryRow, NewDecision, Store, TransactionRow
from integrator.transactions.workflow_inputs import read_state
from tests.activities.conftest import NOW
from tests.operations.conftest import PROOF, Books, FakeGateway, kept
from tests.store.builders import new_notification
from workflows.messages import Delivery, DeliveryState


def delivery(row: TransactionRow, **given: Any) -> DeliveryRow:
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
        **given,
    )


async def around(store: Store, row: TransactionRow) -> None:
    """What others have said and done about it."""
    merchant = await store.merchant(row.merchant_id)
    assert merchant is not None
    await store.record_delivery(delivery(row))
    await store.store_notification(
        new_notification(merchant, "evt_1", transaction_id=row.transaction_id)
    )
    await store.open_decision(
        NewDecision(
            merchant_id=row.merchant_id,
            kind="acknowledge",
            decided_by="ada",
            reason="looked at the dashboard",
            transaction_id=row.transaction_id,
        )
    )


async def test_the_workflows_word_and_the_stores_are_the_same(
    store: Store, books: Books, gateway: FakeGateway
) -> None:
    row = await books.paid()
    await around(store, row)
    gateway.run(row, read_state(row.kind, row.snapshot))
    asked = await explain(store, gateway, row)
    gateway.states.clear()
    read = await explain(store, gateway, row)
    assert (asked.source, read.source) == (Source.WORKFLOW, Source.STORE_GONE)
    first, second = render.screen(asked).split("\n"), render.screen(read).split("\n")
    differing = [(a, b) for a, b in zip(first, second, strict=True) if a != b]
    assert differing == [
        (
            "As its workflow says now.",
            "As the store says: Temporal does not keep its workflow any more.",
        )
    ]
    text = "\n".join(first)
    for said in ("`ch_1`", "answered our call", "evt_1", "ada: acknowledge", "2 attempts"):
        assert said in text


@pytest.mark.parametrize(
    "error",
    [RPCError("away", RPCStatusCode.UNAVAILABLE, b""), RuntimeError("no"), TimeoutError()],
    ids=lambda error: type(error).__name__,
)
async def test_a_silent_temporal_is_said(
    store: Store, books: Books, gateway: FakeGateway, error: Exception
) -> None:
    row = await books.paid()
    gateway.away = error
    found = await explain(store, gateway, row)
    assert found.source is Source.STORE_SILENT
    assert "could not be asked now" in render.screen(found)


async def test_a_workflow_that_is_ahead_of_the_store_is_believed(
    store: Store, books: Books, gateway: FakeGateway
) -> None:
    row = await books.unknown()
    ahead = read_state(row.kind, row.snapshot)
    fact = Fact(kind=FactKind.PAID, id="ch_1", amount=row.requested_amount)
    ahead.apply(Approved(psp_id="ch_1", facts=(fact,)), PROOF)
    gateway.run(row, ahead)
    assert "Succeeded" in render.screen(await explain(store, gateway, row))


async def test_what_was_on_its_way_when_the_workflow_went_is_so_no_more(
    store: Store, books: Books, gateway: FakeGateway
) -> None:
    row = await books.paid()
    on_its_way = delivery(row, state="delivering", delivered_at=None, last_status=503)
    await store.record_delivery(on_its_way)
    assert any("given up" in line for line in (await explain(store, gateway, row)).story.next)
    gateway.away = TimeoutError()
    assert any(
        "being delivered" in line for line in (await explain(store, gateway, row)).story.next
    )


async def test_a_reopened_run_does_not_hide_what_was_announced_before(
    store: Store, books: Books, gateway: FakeGateway
) -> None:
    row = await books.paid()
    await store.record_delivery(delivery(row))
    gateway.run(row, read_state(row.kind, row.snapshot))
    gateway.deliveries[f"demo/payment/{row.transaction_id}"] = Delivery(
        state=DeliveryState.IDLE, to_announce=row.version, announced=row.version
    )
    story = (await explain(store, gateway, row)).story
    assert any("delivered" in line.text for line in story.happened)


async def test_a_long_story_fits_on_the_screen(
    store: Store, books: Books, gateway: FakeGateway
) -> None:
    row = await books.paid()
    state = read_state(row.kind, row.snapshot)
    for number in range(60):
        fact = Fact(kind=FactKind.CHARGED_BACK, id=f"cb_{number}", amount=row.requested_amount)
        state.apply(Approved(psp_id="ch_1", facts=(fact,)), PROOF)
        state.flag_attention(f"Look at number {number}.")
    row = await books.recorded(row, state)
    merchant = await store.merchant("demo")
    assert merchant is not None
    for number in range(30):
        await store.record_delivery(delivery(row, version=number))
        await store.store_notification(
            new_notification(merchant, f"evt_{number}", transaction_id=row.transaction_id)
        )
        await around(store, row)
    found = await explain(store, gateway, row)
    lines = render.screen(found).split("\n")
    assert len(lines) <= render.LINES
    assert sum("more (--json shows all)" in line for line in lines) == 5
    document = render.document(found)
    assert len(document["happened"]) > 60
    assert len(document["webhooks"]) == 31


async def test_words_of_the_psp_cannot_steer_the_terminal(
    store: Store, books: Books, gateway: FakeGateway
) -> None:
    row = await books.paid()
    state = read_state(row.kind, row.snapshot)
    state.flag_attention("\x1b]0;owned\x07 look")
    row = await books.recorded(row, state)
    assert "\x1b" not in render.screen(await explain(store, gateway, row))


async def test_a_transaction_is_found_or_asked_for(store: Store, books: Books) -> None:
    row = await books.paid()
    for name in (row.transaction_id, "ch_1", "e" * 24):
        assert (await the_one(store, name, None)).transaction_id == row.transaction_id
    with pytest.raises(OperatorError, match="no transaction 'ch_2'"):
        await the_one(store, "ch_2", None)
    other = await store.add_merchant("zeta", "fake")
    await replace_merchant(store, books, other.id)
    with pytest.raises(OperatorError, match=r"--merchant demo\|zeta"):
        await the_one(store, row.transaction_id, None)
    assert (await the_one(store, row.transaction_id, "zeta")).merchant_id == "zeta"


async def replace_merchant(store: Store, books: Books, name: str) -> None:
    """The same transaction once more, of another merchant."""
    merchant = await store.merchant(name)
    assert merchant is not None
    row = await replace(books.book, merchant=merchant).charge()
    assert (await kept(store, row)).merchant_id == name
