"""PSP settings: reading, verification and saving."""

import httpx
import pytest

from integrator.psp.errors import CredentialsRejected, OutcomeUnknown, PspTimeout, PspUnavailable
from integrator.psp.types import SettingsCheck
from integrator.store import Store
from tests.integration.api.builders import MERCHANT, SETTINGS, Body, auth, preauth
from tests.integration.api.conftest import Rows, assert_error
from tests.integration.api.fakes import FakeAdapter

FLAGS = (
    "isCreditCardValid",
    "isDebitValid",
    "isOnAccountValid",
    "isBlackLabelValid",
    "isAutogiroValid",
    "isAvtalegiroValid",
    "isBetalingsserviceValid",
)


def form(**values: str | None) -> Body:
    entries = [{"keyName": key, "keyValue": value} for key, value in values.items()]
    return {"merchantSettings": entries}


async def test_settings_are_returned_in_order_with_secrets_masked(
    client: httpx.AsyncClient, store: Store
) -> None:
    await store.merchants.save_settings(MERCHANT, {"Key": "k_1", "Secret": "s_1", "Mode": "live"})
    response = await client.get("/api/Settings")
    assert response.json() == {
        "merchantSettings": [
            {"keyName": "Key", "keyValue": "********"},
            {"keyName": "Secret", "keyValue": "********"},
            {"keyName": "Mode", "keyValue": "live"},
        ]
    }


async def test_a_masked_secret_is_kept(
    client: httpx.AsyncClient, store: Store, adapter: FakeAdapter
) -> None:
    settings_form = (await client.get("/api/Settings")).json()
    settings_form["merchantSettings"][1]["keyValue"] = "s_2"
    assert (await client.put("/api/Settings", json=settings_form)).status_code == 200
    assert await store.merchants.get_settings(MERCHANT) == SETTINGS | {"Secret": "s_2"}
    assert adapter.calls == ["verify_settings"]


async def test_a_mask_without_a_saved_secret_is_a_missing_value(
    client: httpx.AsyncClient, store: Store, adapter: FakeAdapter
) -> None:
    await store.merchants.add("fresh", "fake")
    await store.api_tokens.issue("fresh", "test", token="token-of-fresh")
    response = await client.put(
        "/api/Settings", json=form(Key="********", Secret="s"), headers=auth("token-of-fresh")
    )
    error = assert_error(response, 422, "InvalidData")
    assert error["errorMessage"] == "Setting 'Key' is required."
    assert adapter.calls == []


async def test_unsaved_settings_are_returned_without_values(
    client: httpx.AsyncClient, store: Store
) -> None:
    await store.merchants.add("fresh", "fake")
    await store.api_tokens.issue("fresh", "test", token="token-of-fresh")
    headers = auth("token-of-fresh")
    response = await client.get("/api/Settings", headers=headers)
    keys = [{"keyName": "Key"}, {"keyName": "Secret"}, {"keyName": "Mode"}]
    assert response.json() == {"merchantSettings": keys}
    info = await client.get("/api/IntegrationInfo", headers=headers)
    assert info.status_code == 200
    assert [s["keyName"] for s in info.json()["merchantSettings"]] == ["Key", "Secret", "Mode"]


@pytest.mark.parametrize("wrapped", [False, True])
async def test_settings_are_verified_and_saved(
    client: httpx.AsyncClient, store: Store, adapter: FakeAdapter, wrapped: bool
) -> None:
    body = form(Key=" k_2 ", Secret="s_2", Mode="", Other="x")
    body = {"MerchantPspSettings": body} if wrapped else body
    response = await client.put("/api/Settings", json=body)
    assert response.status_code == 200
    expected = dict.fromkeys(FLAGS, False) | {"isCreditCardValid": True, "isDebitValid": True}
    assert response.json() == expected
    assert adapter.calls == ["verify_settings"]
    assert await store.merchants.get_settings(MERCHANT) == {"Key": "k_2", "Secret": "s_2"}


@pytest.mark.parametrize("check_result", [SettingsCheck(), CredentialsRejected("no")])
async def test_settings_rejected_by_the_psp_are_not_saved(
    client: httpx.AsyncClient, store: Store, adapter: FakeAdapter, check_result: SettingsCheck
) -> None:
    adapter.verification = check_result
    response = await client.put("/api/Settings", json=form(Key="bad", Secret="bad"))
    assert response.status_code == 200
    assert response.json() == dict.fromkeys(FLAGS, False)
    assert await store.merchants.get_settings(MERCHANT) == SETTINGS


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (PspTimeout("t"), "PSPConnectionTimeout"),
        (PspUnavailable("u"), "PSPConnectionProblem"),
        (OutcomeUnknown("o"), "PSPConnectionProblem"),
    ],
)
async def test_unverified_settings_are_not_saved(
    client: httpx.AsyncClient, store: Store, adapter: FakeAdapter, error: Exception, code: str
) -> None:
    adapter.verification = error
    response = await client.put("/api/Settings", json=form(Key="k_2", Secret="s_2"))
    assert_error(response, 500, code)
    assert await store.merchants.get_settings(MERCHANT) == SETTINGS


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (form(Key="k_2"), "Secret"),
        (form(Key="k_2", Secret=" "), "Secret"),
        (form(key="k_2", Secret="s_2"), "Key"),
        (form(Key=None, Secret="s_2"), "Key"),
        ({"merchantSettings": []}, "Key"),
        ({}, "merchantSettings"),
    ],
)
async def test_a_missing_required_key_is_refused(
    client: httpx.AsyncClient, adapter: FakeAdapter, rows: Rows, body: Body, named: str
) -> None:
    stored = rows.count()
    error = assert_error(await client.put("/api/Settings", json=body), 422, "InvalidData")
    assert named in error["errorMessage"]
    assert "k_2" not in error["errorMessage"]
    assert adapter.calls == []
    assert rows.count() == stored


async def test_saved_settings_that_became_invalid_are_a_configuration_error(
    client: httpx.AsyncClient, store: Store
) -> None:

    await store.merchants.save_settings(MERCHANT, {"Key": "k_1"})
    response = await client.post("/api/Preauth", json=preauth())
    assert_error(response, 500, "InvalidConfiguration")


async def test_a_psp_that_is_not_installed_is_a_configuration_error(
    client: httpx.AsyncClient, store: Store
) -> None:
    await store.merchants.add("uninstalled", "unknown-psp")
    await store.api_tokens.issue("uninstalled", "test", token="token-of-uninstalled")
    response = await client.get("/api/IntegrationInfo", headers=auth("token-of-uninstalled"))
    assert_error(response, 500, "InvalidConfiguration")
