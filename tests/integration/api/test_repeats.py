"""Repeated transaction ids: the same response or a refusal, and money moves once."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import httpx
import pytest

from integrator.store import NewTransaction, Store
from tests.integration.api.builders import (
    MERCHANT,
    OTHER_TOKEN,
    Body,
    auth,
    payment,
    preauth,
    refund,
)
from tests.integration.api.conftest import Rows, TransactionFactory, assert_error
from tests.integration.api.fakes import FakeTransactionClient
from workflows.messages import PaymentInput
from workflows.state import PaymentState, PreauthState, TransactionKind


async def test_a_repeat_returns_the_current_state(
    client: httpx.AsyncClient,
    factory: TransactionFactory,
    transaction_client: FakeTransactionClient,
    rows: Rows,
) -> None:
    body = await factory.create_preauth()
    first = (await client.get(f"/api/Preauth/{body['transactionId']}")).json()
    stored, created = rows.count(), transaction_client.calls.count("create")
    for repeat in (body, body | {"requestedAmount": "119.00", "transactionReferenceText": "x"}):
        response = await client.post("/api/Preauth", json=repeat)
        assert response.status_code == 200
        assert response.json() == first
    assert rows.count() == stored
    assert transaction_client.calls.count("create") == created


async def test_another_spelling_of_the_amount_is_a_repeat(
    client: httpx.AsyncClient,
    factory: TransactionFactory,
    transaction_client: FakeTransactionClient,
) -> None:
    body = await factory.create_preauth(requestedAmount=10.5)
    created = transaction_client.calls.count("create")
    for amount in ("10.5", "10.50", "10.500", "1.05e1"):
        text = json.dumps(body | {"requestedAmount": "AMOUNT"}).replace('"AMOUNT"', amount)
        response = await client.post(
            "/api/Preauth", content=text, headers={"Content-Type": "application/json"}
        )
        assert response.status_code == 200, amount
    assert transaction_client.calls.count("create") == created


async def test_a_repeated_capture_is_not_refused_for_its_own_reservation(
    client: httpx.AsyncClient,
    factory: TransactionFactory,
    transaction_client: FakeTransactionClient,
) -> None:
    before = await factory.create_preauth()
    body = await factory.create_payment(preauthTransactionId=before["transactionId"])
    state = transaction_client.states[(MERCHANT, TransactionKind.PREAUTH, before["transactionId"])]
    assert isinstance(state, PreauthState)
    state.reserve(body["transactionId"], Decimal(119), "EUR")
    state.close_reservation(body["transactionId"], booked=True)
    assert (await client.post("/api/Payment", json=body)).status_code == 200
    other = payment(preauthTransactionId=before["transactionId"])
    assert_error(await client.post("/api/Payment", json=other), 500, "InvalidPreconditions")


async def test_a_repeated_refund_is_not_refused_for_its_own_reservation(
    client: httpx.AsyncClient,
    factory: TransactionFactory,
    transaction_client: FakeTransactionClient,
) -> None:
    payment_body = await factory.create_capture()
    body = refund(payment_body["transactionId"])
    assert (await client.post("/api/Refund", json=body)).status_code == 200
    state = transaction_client.states[
        (MERCHANT, TransactionKind.PAYMENT, payment_body["transactionId"])
    ]
    assert isinstance(state, PaymentState)
    state.reserve(body["transactionId"], Decimal(119), "EUR")
    assert (await client.post("/api/Refund", json=body)).status_code == 200
    other = refund(payment_body["transactionId"], requestedAmount=1)
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
async def test_a_repeat_with_another_body_is_refused(
    client: httpx.AsyncClient, factory: TransactionFactory, rows: Rows, change: Body
) -> None:
    body = await factory.create_preauth()
    stored = rows.count()
    response = await client.post("/api/Preauth", json=body | change)
    assert_error(response, 500, "AlreadyExecuted")
    assert rows.count() == stored


async def test_an_id_is_used_by_one_kind_only(
    client: httpx.AsyncClient, factory: TransactionFactory
) -> None:
    body = await factory.create_preauth()
    other = payment(transactionId=body["transactionId"])
    assert_error(await client.post("/api/Payment", json=other), 500, "AlreadyExecuted")
    other = refund(body["transactionId"], transactionId=body["transactionId"])
    assert_error(await client.post("/api/Refund", json=other), 500, "AlreadyExecuted")


async def test_merchants_do_not_share_ids(
    client: httpx.AsyncClient, factory: TransactionFactory
) -> None:
    body = await factory.create_preauth()
    response = await client.post(
        "/api/Preauth", json=body | {"requestedAmount": 1}, headers=auth(OTHER_TOKEN)
    )
    assert response.status_code == 200


async def test_a_request_whose_start_was_lost_is_started_by_its_repeat(
    client: httpx.AsyncClient, transaction_client: FakeTransactionClient, rows: Rows
) -> None:
    """The first process stored the row and crashed."""

    async def crash() -> None:
        raise ZeroDivisionError

    body = preauth()
    transaction_client.before["create"] = crash
    assert (await client.post("/api/Preauth", json=body)).status_code == 500
    del transaction_client.before["create"]
    response = await client.post("/api/Preauth", json=body)
    assert response.json()["status"] == "Succeeded"
    assert transaction_client.starts[0] == transaction_client.starts[1]
    assert rows.count()["transactions"] == 1


async def test_a_debit_started_by_its_repeat_keeps_its_day(
    client: httpx.AsyncClient,
    factory: TransactionFactory,
    transaction_client: FakeTransactionClient,
) -> None:
    async def crash() -> None:
        raise ZeroDivisionError

    means = {"paymentMeansReference": {"role": "Debit", "initialBearer": {"IBAN": "DE1"}}}
    await factory.create_preauth(**means)
    transaction_client.before["create"] = crash
    body = payment(plannedExecutionDate="2026-02-19", **means)
    await client.post("/api/Payment", json=body)
    del transaction_client.before["create"]
    await client.post("/api/Payment", json=body | {"plannedExecutionDate": "2026-02-23"})
    first, second = transaction_client.starts[-2:]
    assert isinstance(second, PaymentInput)
    assert str(second.execute_on) == "2026-02-19"
    assert first == second


async def test_concurrent_repeats_create_one_transaction(
    client: httpx.AsyncClient, transaction_client: FakeTransactionClient, rows: Rows
) -> None:
    body = preauth()
    responses = await asyncio.gather(*(client.post("/api/Preauth", json=body) for _ in range(5)))
    assert {response.status_code for response in responses} == {200}
    assert len({response.text for response in responses}) == 1
    assert rows.count()["transactions"] == 1
    assert len({start.external_id for start in transaction_client.starts}) == 1


async def test_a_lost_insert_race_is_treated_as_a_repeat(
    client: httpx.AsyncClient, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another request inserts the row between the look-up and the insert."""
    open_transaction = store.transactions.add

    async def insert_twice(new: NewTransaction) -> Any:
        await open_transaction(NewTransaction(**{**vars(new), "fingerprint": "0" * 64}))
        return await open_transaction(new)

    monkeypatch.setattr(store.transactions, "add", insert_twice)
    response = await client.post("/api/Preauth", json=preauth())
    assert_error(response, 500, "AlreadyExecuted")
