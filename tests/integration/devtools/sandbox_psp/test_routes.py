"""The native API, operation by operation, on a real sandbox process."""

from decimal import Decimal

import httpx
import pytest

from tests.integration.devtools.sandbox_psp.driver import MerchantClient, Sandbox, eventually


def test_unknown_key_is_rejected(sandbox: Sandbox) -> None:
    response = sandbox.http.get("/v1/account", headers={"Authorization": "Bearer unknown"})
    assert response.status_code == 401
    error = response.json()["error"]
    assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
    assert sandbox.http.get("/v1/account").status_code == 401


def test_account_is_updated_by_its_key(merchant: MerchantClient) -> None:
    assert merchant.get("/account") == merchant.account
    moved = {"api_key": merchant.key, "webhook_secret": "new", "webhook_url": None}
    response = merchant.http.put("/_control/accounts", json=moved).json()
    assert response["id"] == merchant.account["id"]
    assert response["webhook_secret_sha256"] != merchant.account["webhook_secret_sha256"]


def test_a_replaced_key_is_rejected_and_the_new_one_accepted(merchant: MerchantClient) -> None:
    rotation = {"api_key": merchant.key, "new_api_key": f"{merchant.key}-new"}
    merchant.http.post("/_control/accounts/rotate_key", json=rotation).raise_for_status()
    old = {"Authorization": f"Bearer {merchant.key}"}
    assert merchant.http.get("/v1/account", headers=old).status_code == 401
    merchant.key = rotation["new_api_key"]
    assert merchant.get("/account") == merchant.account


@pytest.mark.parametrize(
    "change",
    [
        {"amount": 0},
        {"amount": 10.5},
        {"amount": "10"},
        {"currency": "EURO"},
        {"currency": "XXX"},
        {"reference": ""},
    ],
)
def test_malformed_charges_are_rejected(
    merchant: MerchantClient, change: dict[str, object]
) -> None:
    body = {"reference": "r", "amount": 100, "currency": "EUR", "payment_method": "pm_x", **change}
    response = merchant.post("/charges", body)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request"


def test_charge_is_readable_booked_and_notified(merchant: MerchantClient) -> None:
    reference = merchant.new_reference()
    response = merchant.charge(4990, reference=reference)
    assert response.status_code == 201
    charge = response.json()
    assert charge["status"] == "succeeded"
    assert charge["booked_on"] is not None
    assert merchant.get(f"/charges/{charge['id']}") == charge
    assert merchant.get("/charges", reference=reference) == {"data": [charge]}
    assert merchant.ledger(reference) == [("charge", Decimal("49.90"))]
    merchant.wait_for_events(charge["id"], "charge.succeeded")


def test_ledger_keeps_the_scale_of_the_currency(merchant: MerchantClient) -> None:
    for currency, amount, written in (("EUR", 4990, "49.90"), ("JPY", 500, "500")):
        reference, method = merchant.new_reference(), merchant.card()
        body = {"reference": reference, "amount": amount, "currency": currency}
        merchant.post("/charges", {**body, "payment_method": method}).raise_for_status()
        text = merchant.http.get("/_control/ledger", params={"reference": reference}).text
        assert f'"amount": {written},' in text


def test_objects_of_other_accounts_are_not_found(
    merchant: MerchantClient, sandbox: Sandbox
) -> None:
    charge = merchant.charge(4990).json()
    other = MerchantClient(sandbox)
    with pytest.raises(httpx.HTTPStatusError, match="404"):
        other.get(f"/charges/{charge['id']}")
    assert other.get("/charges", reference=charge["reference"]) == {"data": []}


def test_authorization_is_captured_once(merchant: MerchantClient) -> None:
    authorization = merchant.authorization(4990)
    assert authorization["status"] == "authorized"
    path, reference = f"/authorizations/{authorization['id']}/capture", merchant.new_reference()
    too_much = merchant.post(path, {"reference": reference, "amount": 5000})
    assert (too_much.status_code, too_much.json()["error"]["code"]) == (400, "amount_too_large")
    captured = merchant.post(path, {"reference": reference, "amount": 2000})
    assert captured.status_code == 201
    assert captured.json()["authorization"] == authorization["id"]
    again = merchant.post(path, {"reference": reference, "amount": 1000})
    assert (again.status_code, again.json()["error"]["code"]) == (400, "invalid_state")
    current = merchant.get(f"/authorizations/{authorization['id']}")
    assert (current["status"], current["amount_captured"]) == ("captured", 2000)
    assert merchant.ledger(authorization["reference"]) == [("authorize", Decimal("49.90"))]
    assert merchant.ledger(reference) == [("capture", Decimal("20.00"))]
    void = merchant.post(f"/authorizations/{authorization['id']}/void", {"reference": "v"})
    assert (void.status_code, void.json()["error"]["code"]) == (409, "invalid_state")


def test_void_books_once(merchant: MerchantClient) -> None:
    authorization, reference = merchant.authorization(4990), merchant.new_reference()
    for _ in range(2):
        response = merchant.post(
            f"/authorizations/{authorization['id']}/void", {"reference": reference}
        )
        assert response.json()["status"] == "voided"
    assert merchant.ledger(reference) == [("void", Decimal("49.90"))]
    merchant.wait_for_events(
        authorization["id"], "authorization.authorized", "authorization.voided"
    )


def test_expired_authorization_cannot_be_captured(merchant: MerchantClient) -> None:
    authorization = merchant.authorization(4990)
    merchant.http.post("/_control/expirations", json={"id": authorization["id"]}).raise_for_status()
    assert merchant.get(f"/authorizations/{authorization['id']}")["status"] == "expired"
    response = merchant.post(
        f"/authorizations/{authorization['id']}/capture", {"reference": "x", "amount": 4990}
    )
    assert response.status_code == 400
    merchant.wait_for_events(authorization["id"], "authorization.expired")


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("4000000000000002", "card_declined"),
        ("4000000000009995", "insufficient_funds"),
        ("4000000000000069", "card_expired"),
        ("4111111111111111", "card_not_supported"),
    ],
)
def test_declining_cards_decline_off_session(
    merchant: MerchantClient, number: str, code: str
) -> None:
    method, reference = merchant.card(number), merchant.new_reference()
    response = merchant.charge(4990, method, reference=reference)
    assert response.status_code == 402
    assert response.json()["error"]["type"] == "card_error"
    assert response.json()["object"]["failure"]["code"] == code
    body = {"reference": reference, "amount": 1, "currency": "EUR", "payment_method": method}
    authorization = merchant.post("/authorizations", body)
    assert (authorization.status_code, authorization.json()["object"]["status"]) == (
        402,
        "declined",
    )
    assert merchant.ledger(reference) == []


def test_refunds_never_exceed_the_charge(merchant: MerchantClient) -> None:
    charge, reference = merchant.charge(1000).json(), merchant.new_reference()

    def refund(amount: int) -> httpx.Response:
        body = {"reference": reference, "charge": charge["id"], "amount": amount}
        return merchant.post("/refunds", body)

    assert refund(400).json()["status"] == "succeeded"
    assert refund(505).json()["status"] == "pending"
    rejected = refund(200)
    assert (rejected.status_code, rejected.json()["error"]["code"]) == (400, "amount_too_large")
    eventually(lambda: merchant.get(f"/charges/{charge['id']}")["amount_refunded"] == 905)
    assert [entry[1] for entry in merchant.ledger(reference)] == [Decimal("4.00"), Decimal("5.05")]
    assert len(merchant.get("/refunds", reference=reference)["data"]) == 2


def test_card_bound_to_a_currency_rejects_others(merchant: MerchantClient) -> None:
    method = merchant.card(currency="USD")
    assert merchant.get(f"/payment_methods/{method}")["currency"] == "USD"
    rejected = merchant.charge(4990, method)
    assert (rejected.status_code, rejected.json()["error"]["code"]) == (400, "currency_mismatch")


def test_mandate_is_a_payment_method(merchant: MerchantClient) -> None:
    mandate = merchant.mandate("DE89 3704 0044 0532 0130 00")
    assert merchant.get(f"/mandates/{mandate}")["iban"] == "DE89370400440532013000"
    method = merchant.get(f"/payment_methods/{mandate}")
    assert (method["type"], method["currency"]) == ("sepa_debit", "EUR")
    assert method["sepa_debit"]["iban"] == "DE89370400440532013000"
    merchant.wait_for_events(mandate, "mandate.active")


def test_invalid_iban_is_rejected(merchant: MerchantClient) -> None:
    body = {"reference": "m", "holder": "H", "iban": "DE89370400440532013009"}
    response = merchant.post("/mandates", body)
    assert (response.status_code, response.json()["error"]["code"]) == (422, "invalid_iban")


def test_debit_settles(merchant: MerchantClient) -> None:
    reference = merchant.new_reference()
    charge = merchant.charge(
        4990, merchant.mandate("DE89370400440532013000"), reference=reference
    ).json()
    assert (charge["status"], charge["booked_on"]) == ("pending", None)
    assert merchant.ledger(reference) == []
    merchant.wait_for_events(charge["id"], "charge.pending", "charge.succeeded")
    assert merchant.ledger(reference) == [("charge", Decimal("49.90"))]
    assert merchant.get(f"/charges/{charge['id']}")["status"] == "succeeded"


def test_debit_fails_at_settlement(merchant: MerchantClient) -> None:
    charge = merchant.charge(4990, merchant.mandate("DE62370400440532013001")).json()
    merchant.wait_for_events(charge["id"], "charge.failed")
    current = merchant.get(f"/charges/{charge['id']}")
    assert (current["status"], current["failure"]["code"]) == ("failed", "insufficient_funds")
    assert merchant.ledger(charge["reference"]) == []


def test_debit_is_charged_back(merchant: MerchantClient) -> None:
    charge = merchant.charge(4990, merchant.mandate("DE35370400440532013002")).json()
    merchant.wait_for_events(charge["id"], "charge.succeeded", "charge.charged_back")
    [taken] = merchant.get(f"/charges/{charge['id']}")["chargebacks"]
    assert (taken["amount"], taken["fee_amount"], taken["reason_code"]) == (4990, 350, "AM04")
    amount = Decimal("49.90")
    assert merchant.ledger(charge["reference"]) == [("charge", amount), ("chargeback", amount)]


def test_events_are_paged_in_order(merchant: MerchantClient) -> None:
    ids = [merchant.charge(1000 + 100 * n).json()["id"] for n in range(3)]
    first = merchant.get("/events", limit=2)
    assert first["has_more"] is True
    second = merchant.get("/events", after=first["next"], limit=2)
    assert second["has_more"] is False
    events = first["data"] + second["data"]
    assert [event["data"]["id"] for event in events] == ids
    assert [e["sequence"] for e in events] == sorted(e["sequence"] for e in events)
    rest = merchant.get("/events", after=second["next"])
    assert (rest["data"], rest["next"]) == ([], second["next"])


def test_dashboard_captures_refunds_and_chargebacks(merchant: MerchantClient) -> None:
    authorization = merchant.authorization(4990)
    body = {"reference": authorization["reference"], "amount": 3000}
    charge = merchant.http.post("/_control/captures", json=body).json()
    assert charge["reference"].startswith("dashboard_")
    refund = merchant.http.post("/_control/refunds", json={"charge": charge["id"], "amount": 500})
    assert refund.json()["status"] == "succeeded"
    taken = merchant.http.post("/_control/chargebacks", json={"charge": charge["id"]})
    assert taken.json()["chargebacks"][0]["amount"] == 2500
    nothing_left = merchant.http.post("/_control/chargebacks", json={"charge": charge["id"]})
    assert nothing_left.status_code == 400


def test_a_chargeback_comes_back_in_parts_and_can_be_taken_again(merchant: MerchantClient) -> None:
    charge = merchant.charge(4990).json()
    body = {"charge": charge["id"]}
    nothing_open = merchant.http.post("/_control/chargeback_reversals", json=body)
    assert nothing_open.status_code == 400
    merchant.http.post("/_control/chargebacks", json=body).raise_for_status()
    too_much = merchant.http.post("/_control/chargeback_reversals", json=body | {"amount": 4991})
    assert too_much.status_code == 400
    for amount in (1000, None):
        part = body | {"amount": amount}
        changed = merchant.http.post("/_control/chargeback_reversals", json=part).json()
    (chargeback,) = changed["chargebacks"]
    assert [reversal["amount"] for reversal in chargeback["reversals"]] == [1000, 3990]
    assert merchant.http.post("/_control/chargeback_reversals", json=body).status_code == 400
    again = merchant.http.post("/_control/chargebacks", json=body).json()
    assert [item["amount"] for item in again["chargebacks"]] == [4990, 4990]
    types = [event["type"] for event in merchant.get("/events")["data"]]
    assert types.count("charge.chargeback_reversed") == 2
    booked = merchant.http.get("/_control/ledger", params={"kind": "chargeback_reversal"}).json()
    amounts = {entry["psp_id"]: entry["amount"] for entry in booked["entries"]}
    assert [amounts[reversal["id"]] for reversal in chargeback["reversals"]] == [10.0, 39.9]
