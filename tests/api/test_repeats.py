"""The same transaction id again: the same answer, or a refusal; the money moves once."""

import asyncio
from decimal import Decimal
from typing import Any

import httpx
import pytest

from integrator.store import NewTransaction, Store
from tests.api.builders import MERCHANT, STRANGERS_TOKEN, Body, auth, payment, preauth, refund
from tests.api.conftest import Rows, World, assert_error
from tests.api.fakes import FakeTransactionClient
from workflows.messages import PaymentInput
from workflows.state import PaymentState, PreauthState, TransactionKind


async def test_a_repeat_gets_the_present_state(
    client: httpx.AsyncClient, world: World, gateway: FakeTransactionClient, rows: Rows
) -> None:
    body = await world.preauth()
    first = (await client.get(f"/api/Preauth/{body['transactionId']}")).json()
    stored, created = rows.count(), gateway.calls.count("create")
    for repeat in (body, body | {"requestedAmount": "119.00", "transactionReferenceText": "x"}):
        response = await client.post("/api/Preauth", json=repeat)
        assert response.status_code == 200
        assert response.json() == first
    assert rows.count() == stored
    assert gateway.calls.count("create") == created


async def test_a_repeated_capture_is_not_refused_for_its_own_reservation(
    client: httpx.AsyncClient, world: World, gateway: FakeTransactionClient
) -> None:
    before = await world.preauth()
    body = await world.payment(preauthTransactionId=before["transactionId"])
    state = gateway.states[(MERCHANT, TransactionKind.PREAUTH, before["transactionId"])]
    assert isinstance(state, PreauthState)
    state.reserve(body["transactionId"], Decimal(119), "EUR")
    state.close_reservation(body["transactionId"], booked=True)
    assert (await client.post("/api/Payment", json=body)).status_code == 200
    other = payment(preauthTransactionId=before["transactionId"])
    assert_error(await client.post("/api/Payment", json=other), 500, "InvalidPreconditions")


async def test_a_repeated_refund_is_not_refused_for_its_own_reservation(
    client: httpx.AsyncClient, world: World, gateway: FakeTransactionClient
) -> None:
    paid = await world.capture()
    body = refund(paid["transactionId"])
    assert (await client.post("/api/Refund", json=body)).status_code == 200
    state = gateway.states[(MERCHANT, TransactionKind.PAYMENT, paid["transactionId"])]
    assert isinstance(state, PaymentState)
    state.reserve(body["transactionId"], Decimal(119), "EUR")
    assert (await client.post("/api/Refund", json=body)).status_code == 200
    other = refund(paid["transactionId"], requestedAmount=1)
    assert_error(await client.post("/api/Refund", json=other), 422, "InvalidAmount")


@pytest.mark.parametrize(
    "change",
    [
        {"requestedAmount": 118},
        {"currency": "USD"},
        {"agreementId": "agr-2"},
        {"isInitial": False},
    ],
)
async def test_another_body_is_refused(
    client: httpx.AsyncClient, world: World, rows: Rows, change: Body
) -> None:
    body = await world.preauth()
    stored = rows.count()
    response = await client.post("/api/Preauth", json=body | change)
    assert_error(response, 500, "AlreadyExecuted")
    assert rows.count() == stored


async def test_an_id_is_used_by_one_kind_only(client: httpx.AsyncClient, world: World) -> None:
    body = await world.preauth()
    other = payment(transactionId=body["transactionId"])
    assert_error(await client.post("/api/Payment", json=other), 500, "AlreadyExecuted")
    other = refund(body["transactionId"], transactionId=body["transactionId"])
    assert_error(await client.post("/api/Refund", json=other), 500, "AlreadyExecuted")


async def test_merchants_do_not_share_ids(client: httpx.AsyncClient, world: World) -> None:
    body = await world.preauth()
    response = await client.post(
        "/api/Preauth", json=body | {"requestedAmount": 1}, headers=auth(STRANGERS_TOKEN)
    )
    assert response.status_code == 200


async def test_a_request_whose_start_was_lost_is_started_by_its_repeat(
    client: httpx.AsyncClient, gateway: FakeTransactionClient, rows: Rows
) -> None:
    """The first process stored the row and died."""

    async def crash() -> None:
        raise ZeroDivisionError

    body = preauth()
    gateway.before["create"] = crash
    assert (await client.post("/api/Preauth", json=body)).status_code == 500
    del gateway.before["create"]
    response = await client.post("/api/Preauth", json=body)
    assert response.json()["status"] == "Succeeded"
    assert gateway.starts[0] == gateway.starts[1]
    assert rows.count()["transactions"] == 1


async def test_a_debit_started_by_its_repeat_keeps_its_day(
    client: httpx.AsyncClient, world: World, gateway: FakeTransactionClient
) -> None:
    async def crash() -> None:
        raise ZeroDivisionError

    means = {"paymentMeansReference": {"role": "Debit", "initialBearer": {"IBAN": "DE1"}}}
    await world.preauth(**means)
    gateway.before["create"] = crash
    body = payment(plannedExecutionDate="2026-02-19", **means)
    await client.post("/api/Payment", json=body)
    del gateway.before["create"]
    await client.post("/api/Payment", json=body | {"plannedExecutionDate": "2026-02-23"})
    first, second = gateway.starts[-2:]
    assert isinstance(second, PaymentInput)
    assert str(second.execute_on) == "2026-02-19"
    assert first == second


async def test_of_concurrent_repeats_one_inserts_and_all_join(
    client: httpx.AsyncClient, gateway: FakeTransactionClient, rows: Rows
) -> None:
    body = preauth()
    responses = await asyncio.gather(*(client.post("/api/Preauth", json=body) for _ in range(5)))
    assert {response.status_code for response in responses} == {200}
    assert len({response.text for response in responses}) == 1
    assert rows.count()["transactions"] == 1
    assert len({start.external_id for start in gateway.starts}) == 1


async def test_an_insert_that_lost_the_race_answers_for_the_winner(
    client: httpx.AsyncClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row appears between the first look and the insert, with another content."""
    open_transaction = store.open_transaction

    async def late(new: NewTransaction) -> Any:
        await open_transaction(NewTransaction(**{**vars(new), "fingerprint": "0" * 64}))
        return await open_transaction(new)

    monkeypatch.setattr(store, "open_transaction", late)
    response = await client.post("/api/Preauth", json=preauth())
    assert_error(response, 500, "AlreadyExecuted")
