"""What belongs to one merchant does not exist for another, on any endpoint."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from integrator.psp.types import Pending
from integrator.store import Store
from tests.api.builders import (
    MERCHANT,
    STRANGER,
    STRANGERS_TOKEN,
    Body,
    auth,
    new_id,
    payment,
    preauth,
    refund,
)
from tests.api.conftest import Rows, World, assert_error
from tests.api.fakes import FakeTransactionClient

SIGNED = {"X-Signature": "s_1"}
WITHOUT_IDS = {
    ("get", "/api/IntegrationInfo"),
    ("get", "/api/Settings"),
    ("put", "/api/Settings"),
    ("post", "/oauth/token"),
    ("get", "/healthz"),
    ("get", "/readyz"),
}
"""Endpoints that neither path nor body can point at anything with; the token alone says whose."""
BY_BODY = {
    ("post", "/api/Preauth"),
    ("post", "/api/Preauth/Finalize"),
    ("post", "/api/Payment"),
    ("post", "/api/Refund"),
}
BY_SIGNATURE = {("post", "/api/notifications/{psp}/{pspSettingsId}")}


@pytest.fixture
async def owned(
    client: httpx.AsyncClient, world: World, gateway: FakeTransactionClient, store: Store
) -> dict[str, str]:
    """Every id that the merchant `demo` has or was told, by what it names."""
    preauthorised, paid = await world.preauth(), await world.payment()
    returned = refund(paid["transactionId"], requestedAmount=1)
    assert (await client.post("/api/Refund", json=returned)).status_code == 200
    gateway.psp = lambda _: Pending(psp_id="psp_open", session_id="session_open")
    open_one = await world.preauth(agreementId="agr-2")
    merchant = await store.merchant(MERCHANT)
    assert merchant is not None
    ids = {
        "preauth": preauthorised["transactionId"],
        "payment": paid["transactionId"],
        "refund": returned["transactionId"],
        "open preauth": open_one["transactionId"],
        "agreement": "agr-1",
        "settings": merchant.psp_settings_id,
        "merchant": merchant.id,
    }
    for kind, path in (("preauth", "Preauth"), ("payment", "Payment"), ("refund", "Refund")):
        shown = (await client.get(f"/api/{path}/{ids[kind]}")).json()
        ids |= {f"{name} of {kind}": shown[name] for name in shown if name.endswith("ransactionId")}
    [token] = await store.tokens(MERCHANT)
    ids["token"] = token.id
    ids["client"], _ = await store.add_client(MERCHANT, "platform")
    return ids


def operations(app: FastAPI) -> set[tuple[str, str]]:
    paths: dict[str, dict[str, Any]] = app.openapi()["paths"]
    return {(method, path) for path, found in paths.items() for method in found}


async def test_every_path_with_every_id_is_not_found(
    app: FastAPI,
    client: httpx.AsyncClient,
    owned: dict[str, str],
    rows: Rows,
    gateway: FakeTransactionClient,
) -> None:
    by_path = operations(app) - WITHOUT_IDS - BY_BODY - BY_SIGNATURE
    assert len(by_path) == 4
    stored, called = rows.count(), list(gateway.calls)
    for method, path in sorted(by_path):
        for what, id in owned.items():
            response = await client.request(
                method, path.replace("{transactionId}", id), headers=auth(STRANGERS_TOKEN)
            )
            assert response.status_code == 404, (method, path, what)
            body = assert_error(response, 404, "InvalidData")
            nothing = await client.request(
                method, path.replace("{transactionId}", new_id()), headers=auth(STRANGERS_TOKEN)
            )
            assert body["errorMessage"] == nothing.json()["errorMessage"], (method, path, what)
    assert rows.count() == stored
    assert gateway.calls == called


async def test_every_body_with_every_id_names_nothing(
    client: httpx.AsyncClient, owned: dict[str, str], rows: Rows, gateway: FakeTransactionClient
) -> None:
    stored, called = rows.count(), list(gateway.calls)
    for what, id in owned.items():
        bodies: list[tuple[str, Body]] = [
            ("Preauth", preauth(agreementId=id, isInitial=False)),
            ("Preauth/Finalize", {"transactionId": id, "finalizationData": {}}),
            ("Payment", payment(agreementId=id)),
            ("Payment", payment(agreementId="agr-1", preauthTransactionId=id)),
            ("Refund", refund(id)),
        ]
        for path, body in bodies:
            response = await client.post(f"/api/{path}", json=body, headers=auth(STRANGERS_TOKEN))
            assert response.status_code == 422, (path, what, response.text)
            assert_error(response, 422, "InvalidData")
    assert rows.count() == stored
    assert gateway.calls == called


async def test_an_id_that_another_has_is_free(
    client: httpx.AsyncClient, owned: dict[str, str], store: Store
) -> None:
    """Ids are a merchant's own: nobody learns from a refusal that another has used one."""
    body = preauth(transactionId=owned["preauth"], requestedAmount=7)
    response = await client.post("/api/Preauth", json=body, headers=auth(STRANGERS_TOKEN))
    assert response.status_code == 200
    for token, amount in ((STRANGERS_TOKEN, 7), (None, 119)):
        headers = auth(token) if token else {}
        shown = await client.get(f"/api/Preauth/{owned['preauth']}", headers=headers)
        assert shown.json()["requestedAmount"] == amount
    theirs = await store.transaction(STRANGER, owned["preauth"])
    assert theirs is not None
    assert theirs.merchant_id == STRANGER


async def test_settings_are_those_of_the_token(
    client: httpx.AsyncClient, store: Store, rows: Rows
) -> None:
    form = {"merchantSettings": [{"keyName": "Key", "keyValue": "theirs"}]}
    form["merchantSettings"].append({"keyName": "Secret", "keyValue": "theirs"})
    response = await client.put("/api/Settings", json=form, headers=auth(STRANGERS_TOKEN))
    assert response.status_code == 200
    saved = await store.settings(MERCHANT)
    assert saved is not None
    assert "theirs" not in saved.values()
    assert (await store.settings(STRANGER) or {})["Key"] == "theirs"


async def test_notifications_are_those_of_the_signature(
    client: httpx.AsyncClient, owned: dict[str, str], store: Store, gateway: FakeTransactionClient
) -> None:
    """A PSP's account of one merchant reports on another's objects, by every id there is."""
    other = await store.merchant(STRANGER)
    assert other is not None
    called = list(gateway.calls)
    for id in owned.values():
        event = {"event_id": f"evt-{id}", "reference": id, "psp_ids": [id, "psp_open"]}
        response = await client.post(
            f"/api/notifications/fake/{other.psp_settings_id}",
            json={"events": [event]},
            headers=SIGNED,
        )
        assert response.status_code == 200, response.text
    assert gateway.calls == called
    assert gateway.signals == []
    for number in range(1, len(set(owned.values())) + 1):
        row = await store.notification(number)
        assert row is not None
        assert (row.merchant_id, row.state) == (STRANGER, "parked")
