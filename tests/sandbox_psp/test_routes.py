"""The dialect, operation by operation, on a real sandbox process."""

from decimal import Decimal

import httpx
import pytest

from tests.sandbox_psp.driver import Sandbox, Shop, eventually


def test_unknown_key_is_refused(sandbox: Sandbox) -> None:
    answer = sandbox.http.get("/v1/account", headers={"Authorization": "Bearer nobody"})
    assert answer.status_code == 401
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
    assert sandbox.http.get("/v1/account").status_code == 401


def test_account_is_updated_by_its_key(shop: Shop) -> None:
    assert shop.get("/account") == shop.account
    moved = {"api_key": shop.key, "webhook_secret": "new", "webhook_url": None}
    answer = shop.http.put("/_control/accounts", json=moved).json()
    assert answer["id"] == shop.account["id"]
    assert answer["webhook_secret_sha256"] != shop.account["webhook_secret_sha256"]


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
def test_malformed_charges_are_refused(shop: Shop, change: dict[str, object]) -> None:
    body = {"reference": "r", "amount": 100, "currency": "EUR", "payment_method": "pm_x", **change}
    answer = shop.post("/charges", body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request"


def test_charge_and_its_traces(shop: Shop) -> None:
    reference = shop.new_reference()
    answer = shop.charge(4990, reference=reference)
    assert answer.status_code == 201
    charge = answer.json()
    assert charge["status"] == "succeeded"
    assert charge["booked_on"] is not None
    assert shop.get(f"/charges/{charge['id']}") == charge
    assert shop.get("/charges", reference=reference) == {"data": [charge]}
    assert shop.ledger(reference) == [("charge", Decimal("49.90"))]
    shop.wait_told(charge["id"], "charge.succeeded")


def test_ledger_keeps_the_scale_of_the_currency(shop: Shop) -> None:
    for currency, amount, written in (("EUR", 4990, "49.90"), ("JPY", 500, "500")):
        reference, method = shop.new_reference(), shop.card()
        body = {"reference": reference, "amount": amount, "currency": currency}
        shop.post("/charges", {**body, "payment_method": method}).raise_for_status()
        text = shop.http.get("/_control/ledger", params={"reference": reference}).text
        assert f'"amount": {written},' in text


def test_somebody_elses_objects_are_not_found(shop: Shop, sandbox: Sandbox) -> None:
    charge = shop.charge(4990).json()
    other = Shop(sandbox)
    with pytest.raises(httpx.HTTPStatusError, match="404"):
        other.get(f"/charges/{charge['id']}")
    assert other.get("/charges", reference=charge["reference"]) == {"data": []}


def test_authorize_capture_and_not_twice(shop: Shop) -> None:
    held = shop.authorization(4990)
    assert held["status"] == "authorized"
    path, reference = f"/authorizations/{held['id']}/capture", shop.new_reference()
    too_much = shop.post(path, {"reference": reference, "amount": 5000})
    assert (too_much.status_code, too_much.json()["error"]["code"]) == (400, "amount_too_large")
    captured = shop.post(path, {"reference": reference, "amount": 2000})
    assert captured.status_code == 201
    assert captured.json()["authorization"] == held["id"]
    again = shop.post(path, {"reference": reference, "amount": 1000})
    assert (again.status_code, again.json()["error"]["code"]) == (400, "invalid_state")
    now = shop.get(f"/authorizations/{held['id']}")
    assert (now["status"], now["amount_captured"]) == ("captured", 2000)
    assert shop.ledger(held["reference"]) == [("authorize", Decimal("49.90"))]
    assert shop.ledger(reference) == [("capture", Decimal("20.00"))]
    void = shop.post(f"/authorizations/{held['id']}/void", {"reference": "v"})
    assert (void.status_code, void.json()["error"]["code"]) == (409, "invalid_state")


def test_void_books_once(shop: Shop) -> None:
    held, reference = shop.authorization(4990), shop.new_reference()
    for _ in range(2):
        answer = shop.post(f"/authorizations/{held['id']}/void", {"reference": reference})
        assert answer.json()["status"] == "voided"
    assert shop.ledger(reference) == [("void", Decimal("49.90"))]
    shop.wait_told(held["id"], "authorization.authorized", "authorization.voided")


def test_expired_authorization_cannot_be_captured(shop: Shop) -> None:
    held = shop.authorization(4990)
    shop.http.post("/_control/expirations", json={"id": held["id"]}).raise_for_status()
    assert shop.get(f"/authorizations/{held['id']}")["status"] == "expired"
    answer = shop.post(f"/authorizations/{held['id']}/capture", {"reference": "x", "amount": 4990})
    assert answer.status_code == 400
    shop.wait_told(held["id"], "authorization.expired")


@pytest.mark.parametrize(
    ("number", "code"),
    [
        ("4000000000000002", "card_declined"),
        ("4000000000009995", "insufficient_funds"),
        ("4000000000000069", "card_expired"),
        ("4111111111111111", "card_not_supported"),
    ],
)
def test_declining_cards_decline_off_session(shop: Shop, number: str, code: str) -> None:
    method, reference = shop.card(number), shop.new_reference()
    answer = shop.charge(4990, method, reference=reference)
    assert answer.status_code == 402
    assert answer.json()["error"]["type"] == "card_error"
    assert answer.json()["object"]["failure"]["code"] == code
    body = {"reference": reference, "amount": 1, "currency": "EUR", "payment_method": method}
    held = shop.post("/authorizations", body)
    assert (held.status_code, held.json()["object"]["status"]) == (402, "declined")
    assert shop.ledger(reference) == []


def test_refunds_never_exceed_the_charge(shop: Shop) -> None:
    charge, reference = shop.charge(1000).json(), shop.new_reference()

    def refund(amount: int) -> httpx.Response:
        body = {"reference": reference, "charge": charge["id"], "amount": amount}
        return shop.post("/refunds", body)

    assert refund(400).json()["status"] == "succeeded"
    assert refund(505).json()["status"] == "pending"
    refused = refund(200)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "amount_too_large")
    eventually(lambda: shop.get(f"/charges/{charge['id']}")["amount_refunded"] == 905)
    assert [entry[1] for entry in shop.ledger(reference)] == [Decimal("4.00"), Decimal("5.05")]
    assert len(shop.get("/refunds", reference=reference)["data"]) == 2


def test_card_bound_to_a_currency(shop: Shop) -> None:
    method = shop.card(currency="USD")
    assert shop.get(f"/payment_methods/{method}")["currency"] == "USD"
    refused = shop.charge(4990, method)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "currency_mismatch")


def test_mandate_is_a_payment_method(shop: Shop) -> None:
    mandate = shop.mandate("DE89 3704 0044 0532 0130 00")
    assert shop.get(f"/mandates/{mandate}")["iban"] == "DE89370400440532013000"
    method = shop.get(f"/payment_methods/{mandate}")
    assert (method["type"], method["currency"]) == ("sepa_debit", "EUR")
    assert method["sepa_debit"]["iban"] == "DE89370400440532013000"
    shop.wait_told(mandate, "mandate.active")


def test_invalid_iban_is_refused(shop: Shop) -> None:
    body = {"reference": "m", "holder": "H", "iban": "DE89370400440532013009"}
    answer = shop.post("/mandates", body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_iban")


def test_debit_settles(shop: Shop) -> None:
    reference = shop.new_reference()
    charge = shop.charge(4990, shop.mandate("DE89370400440532013000"), reference=reference).json()
    assert (charge["status"], charge["booked_on"]) == ("pending", None)
    assert shop.ledger(reference) == []
    shop.wait_told(charge["id"], "charge.pending", "charge.succeeded")
    assert shop.ledger(reference) == [("charge", Decimal("49.90"))]
    assert shop.get(f"/charges/{charge['id']}")["status"] == "succeeded"


def test_debit_fails_at_settlement(shop: Shop) -> None:
    charge = shop.charge(4990, shop.mandate("DE62370400440532013001")).json()
    shop.wait_told(charge["id"], "charge.failed")
    now = shop.get(f"/charges/{charge['id']}")
    assert (now["status"], now["failure"]["code"]) == ("failed", "insufficient_funds")
    assert shop.ledger(charge["reference"]) == []


def test_debit_is_charged_back(shop: Shop) -> None:
    charge = shop.charge(4990, shop.mandate("DE35370400440532013002")).json()
    shop.wait_told(charge["id"], "charge.succeeded", "charge.charged_back")
    [taken] = shop.get(f"/charges/{charge['id']}")["chargebacks"]
    assert (taken["amount"], taken["fee_amount"], taken["reason_code"]) == (4990, 350, "AM04")
    amount = Decimal("49.90")
    assert shop.ledger(charge["reference"]) == [("charge", amount), ("chargeback", amount)]


def test_events_are_paged_in_order(shop: Shop) -> None:
    ids = [shop.charge(1000 + 100 * n).json()["id"] for n in range(3)]
    first = shop.get("/events", limit=2)
    assert first["has_more"] is True
    second = shop.get("/events", after=first["next"], limit=2)
    assert second["has_more"] is False
    events = first["data"] + second["data"]
    assert [event["data"]["id"] for event in events] == ids
    assert [e["sequence"] for e in events] == sorted(e["sequence"] for e in events)
    rest = shop.get("/events", after=second["next"])
    assert (rest["data"], rest["next"]) == ([], second["next"])


def test_dashboard_moves_money_behind_the_merchants_back(shop: Shop) -> None:
    held = shop.authorization(4990)
    body = {"reference": held["reference"], "amount": 3000}
    charge = shop.http.post("/_control/captures", json=body).json()
    assert charge["reference"].startswith("dashboard_")
    refund = shop.http.post("/_control/refunds", json={"charge": charge["id"], "amount": 500})
    assert refund.json()["status"] == "succeeded"
    taken = shop.http.post("/_control/chargebacks", json={"charge": charge["id"]})
    assert taken.json()["chargebacks"][0]["amount"] == 2500
    nothing_left = shop.http.post("/_control/chargebacks", json={"charge": charge["id"]})
    assert nothing_left.status_code == 400
