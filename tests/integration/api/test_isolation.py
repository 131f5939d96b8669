"""Isolation of merchants: data of one does not exist for another, on any endpoint."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from integrator.psp.types import Pending
from integrator.store import Store
from tests.integration.api.builders import (
    MERCHANT,
    OTHER_MERCHANT,
    OTHER_TOKEN,
    Body,
    auth,
    new_id,
    payment,
    preauth,
    refund,
)
from tests.integration.api.conftest import Rows, TransactionFactory, assert_error
from tests.integration.api.fakes import FakeTransactionClient

SIGNED = {"X-Signature": "s_1"}
WITHOUT_IDS = {
    ("get", "/api/IntegrationInfo"),
    ("get", "/api/Settings"),
    ("put", "/api/Settings"),
    ("post", "/oauth/token"),
    ("get", "/healthz"),
    ("get", "/readyz"),
}
"""Endpoints without ids in path or body; only the token identifies the merchant."""
BY_BODY = {
    ("post", "/api/Preauth"),
    ("post", "/api/Preauth/Finalize"),
    ("post", "/api/Payment"),
    ("post", "/api/Refund"),
}
BY_SIGNATURE = {("post", "/api/notifications/{psp}/{pspSettingsId}")}


@pytest.fixture
async def merchant_ids(
    client: httpx.AsyncClient,
    factory: TransactionFactory,
    transaction_client: FakeTransactionClient,
    store: Store,
) -> dict[str, str]:
    """Return every id of the merchant `demo`, by what it identifies."""
    preauth_body, payment_body = await factory.create_preauth(), await factory.create_payment()
    refund_body = refund(payment_body["transactionId"], requestedAmount=1)
    assert (await client.post("/api/Refund", json=refund_body)).status_code == 200
    transaction_client.psp = lambda _: Pending(psp_id="psp_open", session_id="session_open")
    open_preauth = await factory.create_preauth(agreementId="agr-2")
    merchant = await store.merchants.get(MERCHANT)
    assert merchant is not None
    ids = {
        "preauth": preauth_body["transactionId"],
        "payment": payment_body["transactionId"],
        "refund": refund_body["transactionId"],
        "open preauth": open_preauth["transactionId"],
        "agreement": "agr-1",
        "settings": merchant.psp_settings_id,
        "merchant": merchant.id,
    }
    for kind, path in (("preauth", "Preauth"), ("payment", "Payment"), ("refund", "Refund")):
        response = (await client.get(f"/api/{path}/{ids[kind]}")).json()
        ids |= {
            f"{name} of {kind}": response[name]
            for name in response
            if name.endswith("ransactionId")
        }
    [token] = await store.api_tokens.list_by_merchant(MERCHANT)
    ids["token"] = token.id
    ids["client"], _ = await store.oauth_clients.add(MERCHANT, "platform")
    return ids


def operations(app: FastAPI) -> set[tuple[str, str]]:
    paths: dict[str, dict[str, Any]] = app.openapi()["paths"]
    return {(method, path) for path, methods in paths.items() for method in methods}


async def test_no_path_finds_an_id_of_another_merchant(
    app: FastAPI,
    client: httpx.AsyncClient,
    merchant_ids: dict[str, str],
    rows: Rows,
    transaction_client: FakeTransactionClient,
) -> None:
    by_path = operations(app) - WITHOUT_IDS - BY_BODY - BY_SIGNATURE
    assert len(by_path) == 4
    stored, called = rows.count(), list(transaction_client.calls)
    for method, path in sorted(by_path):
        for name, id in merchant_ids.items():
            response = await client.request(
                method, path.replace("{transactionId}", id), headers=auth(OTHER_TOKEN)
            )
            assert response.status_code == 404, (method, path, name)
            body = assert_error(response, 404, "InvalidData")
            unknown = await client.request(
                method, path.replace("{transactionId}", new_id()), headers=auth(OTHER_TOKEN)
            )
            assert body["errorMessage"] == unknown.json()["errorMessage"], (method, path, name)
    assert rows.count() == stored
    assert transaction_client.calls == called


async def test_no_body_accepts_an_id_of_another_merchant(
    client: httpx.AsyncClient,
    merchant_ids: dict[str, str],
    rows: Rows,
    transaction_client: FakeTransactionClient,
) -> None:
    stored, called = rows.count(), list(transaction_client.calls)
    for name, id in merchant_ids.items():
        bodies: list[tuple[str, Body]] = [
            ("Preauth", preauth(agreementId=id, isInitial=False)),
            ("Preauth/Finalize", {"transactionId": id, "finalizationData": {}}),
            ("Payment", payment(agreementId=id)),
            ("Payment", payment(agreementId="agr-1", preauthTransactionId=id)),
            ("Refund", refund(id)),
        ]
        for path, body in bodies:
            response = await client.post(f"/api/{path}", json=body, headers=auth(OTHER_TOKEN))
            assert response.status_code == 422, (path, name, response.text)
            assert_error(response, 422, "InvalidData")
    assert rows.count() == stored
    assert transaction_client.calls == called


async def test_an_id_used_by_another_merchant_can_be_used(
    client: httpx.AsyncClient, merchant_ids: dict[str, str], store: Store
) -> None:
    """Ids are scoped by merchant, so a refusal never shows that another merchant uses one."""
    body = preauth(transactionId=merchant_ids["preauth"], requestedAmount=7)
    response = await client.post("/api/Preauth", json=body, headers=auth(OTHER_TOKEN))
    assert response.status_code == 200
    for token, amount in ((OTHER_TOKEN, 7), (None, 119)):
        headers = auth(token) if token else {}
        response = await client.get(f"/api/Preauth/{merchant_ids['preauth']}", headers=headers)
        assert response.json()["requestedAmount"] == amount
    theirs = await store.transactions.get(OTHER_MERCHANT, merchant_ids["preauth"])
    assert theirs is not None
    assert theirs.merchant_id == OTHER_MERCHANT


async def test_settings_are_those_of_the_token(
    client: httpx.AsyncClient, store: Store, rows: Rows
) -> None:
    form = {"merchantSettings": [{"keyName": "Key", "keyValue": "theirs"}]}
    form["merchantSettings"].append({"keyName": "Secret", "keyValue": "theirs"})
    response = await client.put("/api/Settings", json=form, headers=auth(OTHER_TOKEN))
    assert response.status_code == 200
    saved = await store.merchants.get_settings(MERCHANT)
    assert saved is not None
    assert "theirs" not in saved.values()
    assert (await store.merchants.get_settings(OTHER_MERCHANT) or {})["Key"] == "theirs"


async def test_notifications_are_those_of_the_signature(
    client: httpx.AsyncClient,
    merchant_ids: dict[str, str],
    store: Store,
    transaction_client: FakeTransactionClient,
) -> None:
    """The PSP account of one merchant reports on another's objects, by every known id."""
    other = await store.merchants.get(OTHER_MERCHANT)
    assert other is not None
    called = list(transaction_client.calls)
    for id in merchant_ids.values():
        event = {"event_id": f"evt-{id}", "reference": id, "psp_ids": [id, "psp_open"]}
        response = await client.post(
            f"/api/notifications/fake/{other.psp_settings_id}",
            json={"events": [event]},
            headers=SIGNED,
        )
        assert response.status_code == 200, response.text
    assert transaction_client.calls == called
    assert transaction_client.signals == []
    for number in range(1, len(set(merchant_ids.values())) + 1):
        row = await store.notifications.get(number)
        assert row is not None
        assert (row.merchant_id, row.state) == (OTHER_MERCHANT, "parked")
