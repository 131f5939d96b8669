"""An agreement whose data was erased takes no more money; what happened on it can still be read."""

from typing import Any

import httpx
import pytest

from integrator.psp.types import NotificationEvent
from integrator.store import Store
from tests.api.builders import MERCHANT, card, payment, preauth, refund
from tests.api.conftest import Rows, World, assert_error

TAKING: list[Any] = [
    pytest.param("Payment", payment(), id="charge"),
    pytest.param("Preauth", preauth(isInitial=False), id="reservation"),
    pytest.param("Preauth", preauth(), id="new sign-up"),
]


@pytest.mark.parametrize(("path", "body"), TAKING)
async def test_taking_money_is_refused(
    client: httpx.AsyncClient, world: World, store: Store, rows: Rows, path: str, body: Any
) -> None:
    await world.preauth()
    await store.erase_agreement(MERCHANT, "agr-1")
    before = rows.count()
    error = assert_error(await client.post(f"/api/{path}", json=body), 500, "InvalidPreconditions")
    assert "erased" in error["errorMessage"]
    assert rows.count() == before


async def test_a_notification_is_sealed_as_data_of_its_agreement(
    client: httpx.AsyncClient, world: World, store: Store
) -> None:
    held = await world.preauth()
    merchant = await store.merchant(MERCHANT)
    assert merchant is not None
    notice = NotificationEvent(event_id="evt_1", reference=held["transactionId"]).model_dump(
        mode="json"
    )
    response = await client.post(
        f"/api/notifications/fake/{merchant.psp_settings_id}",
        json={"events": [notice]},
        headers={"X-Signature": "s_1"},
    )
    assert response.status_code == 200
    row = await store.notification(1)
    assert row is not None
    assert (row.agreement_id, row.erased) == ("agr-1", False)
    await store.erase_agreement(MERCHANT, "agr-1")
    row = await store.notification(1)
    assert row is not None
    assert (row.erased, row.raw) == (True, b"")


async def test_a_capture_is_refused(client: httpx.AsyncClient, world: World, store: Store) -> None:
    held = await world.preauth()
    await store.erase_agreement(MERCHANT, "agr-1")
    body = payment(preauthTransactionId=held["transactionId"])
    assert_error(await client.post("/api/Payment", json=body), 500, "InvalidPreconditions")


async def test_reads_and_repeats_answer_without_payment_data(
    client: httpx.AsyncClient, world: World, store: Store
) -> None:
    held = await world.preauth()
    paid = await world.payment()
    await store.save_private(
        MERCHANT, held["transactionId"], instrument={"token": {}, "bearer": {"Last4": "1111"}}
    )
    path = f"/api/Preauth/{held['transactionId']}"
    before = (await client.get(path)).json()
    assert before["bearer"] == {"Last4": "1111"}
    await store.erase_agreement(MERCHANT, "agr-1")
    after = await client.get(path)
    assert after.status_code == 200
    assert after.json() == {key: value for key, value in before.items() if key != "bearer"}
    for response in (
        await client.get(f"/api/Payment/{paid['transactionId']}"),
        await client.post("/api/Payment", json=paid),
    ):
        assert response.status_code == 200
        assert (response.json()["status"], response.json()["bearer"]) == ("Succeeded", {})


async def test_money_is_given_back(client: httpx.AsyncClient, world: World, store: Store) -> None:
    paid = await world.capture()
    await store.erase_agreement(MERCHANT, "agr-1")
    response = await client.post("/api/Refund", json=refund(paid["transactionId"]))
    assert response.status_code == 200, response.text
    assert response.json()["status"] == "Succeeded"


async def test_a_reservation_can_be_cancelled(
    client: httpx.AsyncClient, world: World, store: Store
) -> None:
    held = await world.preauth(paymentMeansReference=card())
    await store.erase_agreement(MERCHANT, "agr-1")
    response = await client.post(f"/api/Preauth/{held['transactionId']}/cancel", json={})
    assert response.status_code == 200, response.text
