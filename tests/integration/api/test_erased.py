"""Erased agreements: no new charges, but their transactions can still be read."""

from typing import Any

import httpx
import pytest

from integrator.psp.types import NotificationEvent
from integrator.store import Store
from tests.integration.api.builders import MERCHANT, card, payment, preauth, refund
from tests.integration.api.conftest import Rows, TransactionFactory, assert_error

CHARGING_REQUESTS: list[Any] = [
    pytest.param("Payment", payment(), id="charge"),
    pytest.param("Preauth", preauth(isInitial=False), id="reservation"),
    pytest.param("Preauth", preauth(), id="new sign-up"),
]


@pytest.mark.parametrize(("path", "body"), CHARGING_REQUESTS)
async def test_charges_and_reservations_are_refused(
    client: httpx.AsyncClient,
    factory: TransactionFactory,
    store: Store,
    rows: Rows,
    path: str,
    body: Any,
) -> None:
    await factory.create_preauth()
    await store.erasure.erase_agreement(MERCHANT, "agr-1")
    before = rows.count()
    error = assert_error(await client.post(f"/api/{path}", json=body), 500, "InvalidPreconditions")
    assert "erased" in error["errorMessage"]
    assert rows.count() == before


async def test_a_notification_is_encrypted_with_the_key_of_its_agreement(
    client: httpx.AsyncClient, factory: TransactionFactory, store: Store
) -> None:
    preauth_body = await factory.create_preauth()
    merchant = await store.merchants.get(MERCHANT)
    assert merchant is not None
    event = NotificationEvent(event_id="evt_1", reference=preauth_body["transactionId"]).model_dump(
        mode="json"
    )
    response = await client.post(
        f"/api/notifications/fake/{merchant.psp_settings_id}",
        json={"events": [event]},
        headers={"X-Signature": "s_1"},
    )
    assert response.status_code == 200
    row = await store.notifications.get(1)
    assert row is not None
    assert (row.agreement_id, row.erased) == ("agr-1", False)
    await store.erasure.erase_agreement(MERCHANT, "agr-1")
    row = await store.notifications.get(1)
    assert row is not None
    assert (row.erased, row.raw) == (True, b"")


async def test_a_capture_is_refused(
    client: httpx.AsyncClient, factory: TransactionFactory, store: Store
) -> None:
    preauth_body = await factory.create_preauth()
    await store.erasure.erase_agreement(MERCHANT, "agr-1")
    body = payment(preauthTransactionId=preauth_body["transactionId"])
    assert_error(await client.post("/api/Payment", json=body), 500, "InvalidPreconditions")


async def test_reads_and_repeats_answer_without_payment_data(
    client: httpx.AsyncClient, factory: TransactionFactory, store: Store
) -> None:
    preauth_body = await factory.create_preauth()
    payment_body = await factory.create_payment()
    await store.transactions.save_private(
        MERCHANT,
        preauth_body["transactionId"],
        instrument={"token": {}, "bearer": {"Last4": "1111"}},
    )
    path = f"/api/Preauth/{preauth_body['transactionId']}"
    before = (await client.get(path)).json()
    assert before["bearer"] == {"Last4": "1111"}
    await store.erasure.erase_agreement(MERCHANT, "agr-1")
    after = await client.get(path)
    assert after.status_code == 200
    assert after.json() == {key: value for key, value in before.items() if key != "bearer"}
    for response in (
        await client.get(f"/api/Payment/{payment_body['transactionId']}"),
        await client.post("/api/Payment", json=payment_body),
    ):
        assert response.status_code == 200
        assert (response.json()["status"], response.json()["bearer"]) == ("Succeeded", {})


async def test_a_refund_is_still_possible(
    client: httpx.AsyncClient, factory: TransactionFactory, store: Store
) -> None:
    payment_body = await factory.create_capture()
    await store.erasure.erase_agreement(MERCHANT, "agr-1")
    response = await client.post("/api/Refund", json=refund(payment_body["transactionId"]))
    assert response.status_code == 200, response.text
    assert response.json()["status"] == "Succeeded"


async def test_a_reservation_can_be_cancelled(
    client: httpx.AsyncClient, factory: TransactionFactory, store: Store
) -> None:
    preauth_body = await factory.create_preauth(paymentMeansReference=card())
    await store.erasure.erase_agreement(MERCHANT, "agr-1")
    response = await client.post(f"/api/Preauth/{preauth_body['transactionId']}/cancel", json={})
    assert response.status_code == 200, response.text
